-- Alarm episodes: what is filed is their transitions, signed; an episode is a view over them.

CREATE TABLE alert_transition (
    transition     uuid PRIMARY KEY,            -- follows from its cause: what comes again is filed once
    episode        uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('opened', 'confirmed', 'resolved')),
    at             timestamptz NOT NULL,        -- of the value that caused it
    by             text NOT NULL,               -- limits, configuration, platform
    device_uuid    uuid NOT NULL,
    condition_kind text NOT NULL,
    code           int8 NOT NULL,
    channel        int8 NOT NULL,
    side           text NOT NULL,
    priority       text NOT NULL,
    opened_at      timestamptz NOT NULL,        -- of its episode
    late           boolean NOT NULL,            -- the value was older than a minute: what opens so does not ring
    message        text NOT NULL,
    statement      bytea NOT NULL,              -- signed by the platform
    filed_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX alert_transition_episode ON alert_transition (episode, kind);
CREATE INDEX alert_transition_device ON alert_transition (device_uuid, at);

-- An index, so that nobody looks through the episodes of years for the few that are open: those without a resolution.
CREATE TABLE alert_open (
    episode uuid PRIMARY KEY
);

-- In whichever order its transitions came, an episode's message is its opening's, or its confirmation's.
CREATE VIEW alert_episode AS
SELECT episode,
       (array_agg(device_uuid))[1] AS device_uuid,
       (array_agg(code || '-' || channel || '-' || side))[1] AS condition,
       (array_agg(priority))[1] AS priority,
       min(opened_at) AS opened_at,
       min(at) FILTER (WHERE kind = 'resolved') AS resolved_at,
       (array_agg(message ORDER BY array_position(ARRAY['confirmed', 'opened', 'resolved'], kind), at))[1] AS message,
       (array_agg(condition_kind))[1] AS condition_kind,
       (array_agg(code))[1] AS code,
       (array_agg(channel))[1] AS channel,
       (array_agg(side))[1] AS side,
       coalesce(bool_or(late) FILTER (WHERE kind = 'opened'), false)
           AND coalesce(bool_and(kind <> 'confirmed'), true) AS late,
       min(at) FILTER (WHERE kind = 'confirmed') AS confirmed_at,
       (array_agg(by ORDER BY at) FILTER (WHERE kind = 'resolved'))[1] AS resolved_by
FROM alert_transition
GROUP BY episode;

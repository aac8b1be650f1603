-- Who works here, who is signed in, what ties a person to a stay, and who looked at what. Every change of the first, the
-- third and the fourth kind has its act; `vitalwire verify` holds the rows against the acts.

-- facility^ward of a bed's key (clinical/wards.py).
CREATE FUNCTION ward_of_bed(bed text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN bed = '' THEN '' ELSE split_part(bed, '^', 1) || '^' || split_part(bed, '^', 2) END;
$$;
-- To which ward a stay belongs is asked for each list.
CREATE INDEX encounter_bed_ward ON encounter_bed (ward_of_bed(bed), upper(valid)) WHERE upper_inf(recorded);

-- As the newest staff file had it. A number is never given to another person: a row is never deleted.
CREATE TABLE staff (
    staff         text PRIMARY KEY,             -- 工号
    name          text NOT NULL,
    role          text NOT NULL,                -- gateway/access/words.py: Role
    licence       text NOT NULL,                -- gateway/access/viewer.py: Licence
    licence_until date,                         -- of a recognised one
    wards         text[] NOT NULL,              -- his own (clinical/wards.py)
    pool          text[] NOT NULL,              -- of one who floats: where he may declare himself for a shift
    valid         tstzrange NOT NULL,           -- by the file
    ended_at      timestamptz,                  -- absent from a newer file, or ended by an administrator
    act_id        bytea NOT NULL REFERENCES act -- of the newest change
);

-- "Today I work on ward B": by the person, within the pool.
CREATE TABLE ward_shift (
    staff  text NOT NULL REFERENCES staff,
    ward   text NOT NULL,
    valid  tstzrange NOT NULL CHECK (NOT isempty(valid) AND NOT upper_inf(valid)),
    act_id bytea NOT NULL REFERENCES act
);
CREATE INDEX ward_shift_staff ON ward_shift (staff);

-- Who is signed in. The cookie's secret is not kept.
CREATE TABLE login_session (
    session       bytea PRIMARY KEY,            -- SHA-256 of the secret
    principal     text NOT NULL,                -- staff, or 'display:<id>'
    factor        text NOT NULL,                -- gateway/people/sessions.py: Factor
    credential    bytea,                        -- of a security key: its revocation ends the session
    issuer        text,                         -- of a provider, with its sid and sub: by them it logs out
    provider_sid  text,
    provider_sub  text,
    workstation   text NOT NULL,                -- the browser, by a cookie of its own: who sat there before
    address       text NOT NULL,
    agent         text NOT NULL,
    began_at      timestamptz NOT NULL,
    seen_at       timestamptz NOT NULL,
    idle_s        int,                          -- null: never by silence (a display)
    ends_at       timestamptz NOT NULL,         -- at the latest
    locked_at     timestamptz,
    ended_at      timestamptz,
    ended_by      text,                         -- whose word it was: the principal's, an administrator's, 'provider', 'time'
    end_reason    text
);
CREATE INDEX login_session_principal ON login_session (principal, began_at);
CREATE INDEX login_session_open ON login_session (ends_at) WHERE ended_at IS NULL;
CREATE INDEX login_session_provider ON login_session (issuer, provider_sub) WHERE ended_at IS NULL;

-- A relation to a stay that somebody gave to somebody, or took by breaking the glass; with an end, always.
CREATE TABLE access_grant (
    grant_id  uuid PRIMARY KEY,
    relation  text NOT NULL CHECK (relation IN ('team', 'consulted', 'break_glass')),
    staff     text NOT NULL REFERENCES staff,   -- who has it
    encounter text NOT NULL,
    by        text NOT NULL,                    -- who gave it: of break_glass the same
    reason    text NOT NULL CHECK (reason <> ''),
    valid     tstzrange NOT NULL CHECK (NOT isempty(valid) AND NOT upper_inf(valid)),
    act_id    bytea NOT NULL REFERENCES act
);
CREATE INDEX access_grant_staff ON access_grant (staff, upper(valid));
CREATE INDEX access_grant_encounter ON access_grant (encounter);
-- An end before its time.
CREATE TABLE access_grant_end (
    grant_id uuid PRIMARY KEY REFERENCES access_grant,
    ended_at timestamptz NOT NULL,
    act_id   bytea NOT NULL REFERENCES act
);

-- Who answers for whose entries.
CREATE TABLE supervision (
    supervisor text NOT NULL REFERENCES staff,
    trainee    text NOT NULL REFERENCES staff,
    valid      tstzrange NOT NULL CHECK (NOT isempty(valid) AND NOT upper_inf(valid)),
    act_id     bytea NOT NULL REFERENCES act
);
CREATE INDEX supervision_supervisor ON supervision (supervisor);

-- Records of staff and of people who are well known: whoever has no relation is asked.
CREATE TABLE restricted_record (
    patient text NOT NULL,
    valid   tstzrange NOT NULL CHECK (NOT isempty(valid)),
    reason  text NOT NULL,
    act_id  bytea NOT NULL REFERENCES act,
    CONSTRAINT restricted_record_once EXCLUDE USING gist (key_range(patient) WITH &&, valid WITH &&)
);

-- What somebody looked at, from a moment on: written before the first byte goes out, and never changed.
CREATE TABLE look (
    look       uuid PRIMARY KEY,
    person     text NOT NULL,                   -- a viewer's id
    role       text NOT NULL,
    action     text NOT NULL,                   -- gateway/access/words.py: Action
    page       text NOT NULL,
    encounters text[] NOT NULL,
    patients   text[] NOT NULL,
    stays      int NOT NULL,                    -- how many, where they are too many to be listed
    detail     text NOT NULL,                   -- of a search: what was asked, without a name
    relation   text NOT NULL,                   -- by which it was allowed: gateway/access/words.py: Relation
    restricted boolean NOT NULL,
    session    text NOT NULL,
    address    text NOT NULL,
    reason     text NOT NULL,                   -- of a broken glass
    from_at    timestamptz NOT NULL,
    until_at   timestamptz NOT NULL             -- at the latest
);
CREATE INDEX look_person ON look (person, from_at);
CREATE INDEX look_patients ON look USING gin (patients);
CREATE INDEX look_encounters ON look USING gin (encounters);
CREATE INDEX look_from ON look (from_at);
-- It ended before.
CREATE TABLE look_end (
    look     uuid PRIMARY KEY REFERENCES look,
    until_at timestamptz NOT NULL
);
-- The looks of a minute are one act, a leaf of the log: their SHA-256 (emr_store/looks.py).
CREATE TABLE look_minute (
    minute timestamptz PRIMARY KEY,
    looks  int NOT NULL,
    sha256 bytea NOT NULL,
    act_id bytea NOT NULL REFERENCES act
);

-- What an auditor is to look at; somebody else than the one it is about closes it with a word.
CREATE TABLE review (
    review    uuid PRIMARY KEY,
    kind      text NOT NULL,                    -- emr_store/reviews.py: ReviewKind
    person    text NOT NULL,                    -- whom it is about
    role      text NOT NULL,
    patient   text,
    encounter text,
    look      uuid,
    detail    text NOT NULL,
    opened_at timestamptz NOT NULL
);
CREATE INDEX review_opened ON review (opened_at);
CREATE INDEX review_person ON review (person, opened_at);
CREATE TABLE review_closed (
    review    uuid PRIMARY KEY REFERENCES review,
    closed_at timestamptz NOT NULL,
    by        text NOT NULL,
    word      text NOT NULL CHECK (word <> ''),
    act_id    bytea NOT NULL REFERENCES act
);

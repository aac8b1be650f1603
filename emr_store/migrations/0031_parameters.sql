-- What devices say that has no standard code, by the words of their senders: a row a device, system, code and unit, ever
-- seen. Numbers alone are kept of its values: a text may name a person. Made by `parameters.note_unmapped` from `report`,
-- and made anew when it is lost.
CREATE TABLE unmapped_parameter (
    device     int NOT NULL,
    system     text NOT NULL,
    code       text NOT NULL,
    unit       text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    times      int8 NOT NULL,                   -- values
    texts      int8 NOT NULL,                   -- of them, that are no number
    samples    float8[] NOT NULL,               -- the newest numbers, three at the most, as sent
    PRIMARY KEY (device, system, code, unit)
);
CREATE TABLE unmapped_parameter_work (
    next_batch bigint NOT NULL                  -- all before it are counted
);
INSERT INTO unmapped_parameter_work VALUES (0);

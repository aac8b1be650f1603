-- Custody copies (封存): that one was made, of what, and who confirmed its list. What is in it is on separate media.
CREATE TABLE custody_part (
    copy        uuid NOT NULL,
    part        int NOT NULL CHECK (part > 0),  -- later parts follow while the stay goes on
    encounter   text NOT NULL,
    since       timestamptz,                    -- null: from the beginning of the stay
    until       timestamptz NOT NULL,           -- by the store's clock: versions recorded before are in it
    versions    int NOT NULL,
    list_sha256 bytea NOT NULL,                 -- evidence/custody_copy.py: CopyList.digest
    file_sha256 bytea NOT NULL,
    made_at     timestamptz NOT NULL,
    act_id      bytea NOT NULL REFERENCES act,
    PRIMARY KEY (copy, part)
);
CREATE INDEX custody_part_encounter ON custody_part (encounter);
CREATE TABLE custody_confirmation (
    copy         uuid NOT NULL,
    part         int NOT NULL,
    side         text NOT NULL CHECK (side IN ('hospital', 'patient')),
    name         text NOT NULL CHECK (name <> ''),
    confirmed_at timestamptz NOT NULL,
    act_id       bytea NOT NULL REFERENCES act,
    PRIMARY KEY (copy, part, side),
    FOREIGN KEY (copy, part) REFERENCES custody_part
);
-- Which partitions the copies need: each has a legal hold, made with the first copy that needs it.
CREATE TABLE custody_hold (
    copy      uuid NOT NULL,
    partition text NOT NULL,
    PRIMARY KEY (copy, partition)
);

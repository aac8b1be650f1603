-- What takes two people: one asks, another one agrees, and then it is done once. Each step has its act.
CREATE TABLE second_person (
    request    uuid PRIMARY KEY,
    kind       text NOT NULL,                   -- emr_store/second_person.py: Kind
    details    text NOT NULL,                   -- canonical JSON (RFC 8785): what exactly is to be done
    sha256     bytea NOT NULL,                  -- of kind and details
    by         text NOT NULL,
    why        text NOT NULL,
    at         timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    act_id     bytea NOT NULL REFERENCES act
);
CREATE INDEX second_person_sha256 ON second_person (sha256);

CREATE TABLE second_person_answer (
    request uuid PRIMARY KEY REFERENCES second_person,
    agrees  boolean NOT NULL,
    by      text NOT NULL,
    at      timestamptz NOT NULL,
    act_id  bytea NOT NULL REFERENCES act
);

-- An agreement is for one deed.
CREATE TABLE second_person_use (
    request uuid PRIMARY KEY REFERENCES second_person,
    at      timestamptz NOT NULL,
    act_id  bytea NOT NULL REFERENCES act       -- of the deed
);

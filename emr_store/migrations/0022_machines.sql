-- Programs that ask the API: whose key signs for them, what they may read, and which of their assertions were used.

CREATE TABLE machine_client (
    client        text PRIMARY KEY,             -- its name; never given to another one: a row is never deleted
    public_key    bytea NOT NULL,               -- SubjectPublicKeyInfo
    scopes        text[] NOT NULL,              -- gateway/people/scopes.py
    wards         text[] NOT NULL,              -- whose stays it reads (clinical/wards.py); none: everybody's
    registered_at timestamptz NOT NULL,
    act_id        bytea NOT NULL REFERENCES act
);
CREATE TABLE machine_client_revoked (
    client     text PRIMARY KEY REFERENCES machine_client,
    revoked_at timestamptz NOT NULL,
    act_id     bytea NOT NULL REFERENCES act
);
-- A JWT that a client proved itself with is taken once (RFC 7523, section 3).
CREATE TABLE machine_assertion (
    client     text NOT NULL REFERENCES machine_client,
    jti        text NOT NULL,
    expires_at timestamptz NOT NULL,            -- after that nothing with this jti is taken anyway
    PRIMARY KEY (client, jti)
);

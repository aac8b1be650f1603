-- Security keys (WebAuthn), what is asked of them, how somebody gets one, and the screens of wards. Every change of the
-- first, the third and the fourth has its act.

-- A key opens for one person. A row is never deleted: which key signed somebody in stays known.
CREATE TABLE security_key (
    credential    bytea PRIMARY KEY,
    staff         text NOT NULL REFERENCES staff,
    public_key    bytea NOT NULL,               -- COSE (RFC 9052), ES256
    label         text NOT NULL,                -- what its owner calls it
    model         text NOT NULL,                -- AAGUID; all zeros where the authenticator does not say
    sign_count    bigint NOT NULL,              -- the newest; 0: this authenticator does not count
    enrolled_at   timestamptz NOT NULL,
    used_at       timestamptz,
    revoked_at    timestamptz,
    revoked_by    text,
    revoke_reason text,
    untold        boolean NOT NULL,             -- somebody else gave or took it, and the owner was not yet told
    act_id        bytea NOT NULL REFERENCES act -- of the newest change
);
CREATE INDEX security_key_staff ON security_key (staff);

-- What a key is to sign: once, within two minutes. A row that is out of date is taken for the next challenge.
CREATE TABLE key_challenge (
    challenge bytea PRIMARY KEY,                -- its first eight bytes say what for: gateway/people/security_keys.py
    bound_to  text NOT NULL,                    -- the browser that signs in, the person who enrols
    made_at   timestamptz NOT NULL,
    used_at   timestamptz
);
CREATE INDEX key_challenge_made ON key_challenge (made_at);

-- An administrator opens it for a staff number; it is open for minutes, and for one key.
CREATE TABLE key_enrolment (
    enrolment   uuid PRIMARY KEY,
    staff       text NOT NULL REFERENCES staff,
    replaces    boolean NOT NULL,               -- a lost key: a second administrator must agree, and the keys end then
    reason      text NOT NULL,
    opened_by   text NOT NULL,
    opened_at   timestamptz NOT NULL,
    agreed_by   text CHECK (agreed_by <> opened_by),
    code_sha256 bytea UNIQUE,                   -- of the link that the person opens; null until it is agreed to
    open_until  timestamptz NOT NULL,
    used_at     timestamptz,
    act_id      bytea NOT NULL REFERENCES act   -- of the newest change
);
CREATE INDEX key_enrolment_staff ON key_enrolment (staff, open_until);

-- The screen of a ward: the browser that opened the link once. Its sessions' principal is 'display:<id>'.
CREATE TABLE station_display (
    display       uuid PRIMARY KEY,
    ward          text NOT NULL,                -- clinical/wards.py
    label         text NOT NULL,
    code_sha256   bytea NOT NULL UNIQUE,        -- of the link, which opens it once
    open_until    timestamptz NOT NULL,         -- the link
    enrolled_at   timestamptz,
    revoked_at    timestamptz,
    act_id        bytea NOT NULL REFERENCES act -- of the newest change
);

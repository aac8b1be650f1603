-- What sign-in itself keeps: tries, sealed accounts, and which logout tokens of a provider were used.

-- Who failed must wait (gateway/people/throttle.py). Nothing of what was typed is kept but the account.
CREATE TABLE sign_in_attempt (
    account   text NOT NULL,                    -- "" where none is known
    address   text NOT NULL,
    succeeded boolean NOT NULL,
    at        timestamptz NOT NULL
);
CREATE INDEX sign_in_attempt_account ON sign_in_attempt (account, at);
CREATE INDEX sign_in_attempt_address ON sign_in_attempt (address, at);

-- Sealed envelopes for downtime: the newest seal of each account holds, the others are history.
CREATE TABLE emergency_account (
    account   text NOT NULL,
    hash      text NOT NULL,                    -- argon2id
    sealed_at timestamptz NOT NULL,
    act_id    bytea NOT NULL REFERENCES act,
    PRIMARY KEY (account, sealed_at)
);
-- An envelope that was used: to be sealed anew.
CREATE TABLE emergency_opened (
    account   text NOT NULL,
    opened_at timestamptz NOT NULL,
    address   text NOT NULL,
    act_id    bytea NOT NULL REFERENCES act
);
CREATE INDEX emergency_opened_account ON emergency_opened (account, opened_at);

-- Each logout token ends sessions once (OpenID Connect Back-Channel Logout 1.0, section 2.6).
CREATE TABLE provider_logout (
    issuer  text NOT NULL,
    jti     text NOT NULL,
    used_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, jti)
);
CREATE INDEX login_session_provider_sid ON login_session (issuer, provider_sid) WHERE ended_at IS NULL;

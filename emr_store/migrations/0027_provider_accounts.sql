-- Which account at the hospital's OpenID provider somebody signs in by. The provider says the staff number in a claim that
-- it can change; `sub` it never gives to anybody else (OpenID Connect Core 1.0, section 2). The first sign-in binds both.
CREATE TABLE provider_account (
    issuer     text NOT NULL,
    subject    text NOT NULL,                    -- `sub`
    staff      text NOT NULL REFERENCES staff,
    bound_at   timestamptz NOT NULL,
    unbound_at timestamptz,
    act_id     bytea NOT NULL REFERENCES act     -- of the newest change
);
CREATE UNIQUE INDEX provider_account_subject ON provider_account (issuer, subject) WHERE unbound_at IS NULL;
CREATE UNIQUE INDEX provider_account_staff ON provider_account (issuer, staff) WHERE unbound_at IS NULL;

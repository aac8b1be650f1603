-- Boxes that are let in: an invitation has a code of one use, the box that shows it has a key, and a person who compared
-- the key's fingerprint agrees. A row is never deleted; every change has its act.
CREATE TABLE edge_invitation (
    invitation  uuid PRIMARY KEY,
    label       text NOT NULL,                  -- of the edge that is to be
    invited_by  text NOT NULL,
    invited_at  timestamptz NOT NULL,
    code_sha256 bytea NOT NULL UNIQUE,
    open_until  timestamptz NOT NULL,           -- the code
    public_der  bytea,                          -- what the box showed with the code; null: nobody used it yet
    address     text NOT NULL DEFAULT '',       -- from which it did
    asked_at    timestamptz,
    agrees      boolean,                        -- null: nobody decided yet
    decided_by  text,
    decided_at  timestamptz,
    edge        uuid REFERENCES edge,           -- whose key it is now
    act_id      bytea NOT NULL REFERENCES act,  -- of the newest change
    CHECK ((public_der IS NULL) = (asked_at IS NULL)),
    CHECK ((agrees IS NULL) = (decided_at IS NULL)),
    CHECK (coalesce(agrees, false) = (edge IS NOT NULL))
);
CREATE INDEX edge_invitation_key ON edge_invitation (sha256(public_der));

-- Of a try to sign in it is kept by which factor; and a sign-in that somebody began is kept apart from one that failed.
ALTER TABLE sign_in_attempt
    ADD COLUMN factor text NOT NULL DEFAULT '',       -- gateway/people/factors.py: Factor; '' before this column
    ADD COLUMN begun boolean NOT NULL DEFAULT false;  -- a challenge was made, or a browser sent to the provider

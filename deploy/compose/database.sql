-- Run once, by PostgreSQL's own user, when the database is first made: the groups, and a login for each process
-- (docs/places.md). Logins have no rights of their own beyond their groups.
\set ON_ERROR_STOP on
\set setup `cat /run/secrets/database_setup`
\set processors `cat /run/secrets/database_processors`
\set page `cat /run/secrets/database_page`
\set grafana `cat /run/secrets/database_grafana`
SET password_encryption = 'scram-sha-256';
CREATE EXTENSION IF NOT EXISTS timescaledb;
CREATE ROLE vitalwire_owner;
CREATE ROLE vitalwire_writer;
CREATE ROLE vitalwire_retention;
CREATE ROLE vitalwire_reader;
CREATE ROLE vitalwire_clerk;
CREATE ROLE vitalwire_emr_reader;
CREATE ROLE vitalwire_setup LOGIN PASSWORD :'setup' IN ROLE vitalwire_owner, vitalwire_clerk;
CREATE ROLE vitalwire_processors LOGIN PASSWORD :'processors'
    IN ROLE vitalwire_writer, vitalwire_retention, pg_monitor;
CREATE ROLE vitalwire_page LOGIN PASSWORD :'page' IN ROLE vitalwire_reader, vitalwire_clerk, pg_monitor;
CREATE ROLE vitalwire_grafana LOGIN PASSWORD :'grafana' IN ROLE vitalwire_reader, vitalwire_emr_reader;
SELECT format('ALTER DATABASE %I OWNER TO vitalwire_setup', current_database()) \gexec

-- Archived stays (归档) that medical affairs opened for changes of the chart: until an end, by an act.
CREATE TABLE archive_reopening (
    encounter text NOT NULL,
    valid     tstzrange NOT NULL CHECK (NOT isempty(valid) AND NOT upper_inf(valid)),
    reason    text NOT NULL,
    act_id    bytea NOT NULL REFERENCES act
);
CREATE INDEX archive_reopening_encounter ON archive_reopening (encounter);

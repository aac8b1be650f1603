-- All that a flowsheet shows of an entry but its texts (an index takes no long ones), so that an encounter's day is read from
-- some 120 pages of this index: the rows themselves lie by slot over all encounters, on some 300 pages.
DROP INDEX chart_entry_key;
CREATE UNIQUE INDEX chart_entry_key ON chart_entry (encounter, slot, item, ordinal, version)
    INCLUDE (entry, status, origin, value, decimals, act_id, by_time);
-- The index is enough where a page is known to be visible to all, which vacuum notes: after so many rows, however large the
-- table is (the default is a fifth of it), it looks at the new pages alone.
ALTER TABLE chart_entry SET (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000);
-- For `verify`, which looks at all that people did.
CREATE INDEX chart_entry_act ON chart_entry (act_id) WHERE act_id IS NOT NULL;

-- Where a device stood and through which edges it is believed, by the device: the exclusions' indexes find what held at a
-- moment, of all devices, and the planner takes that for a row or two. `valid` as an expression keeps it from them.
CREATE INDEX device_bed_registered_device ON device_bed (registered_device) WHERE upper_inf(recorded);
CREATE INDEX device_edge_device ON device_edge (device) WHERE upper_inf(recorded);
CREATE OR REPLACE VIEW device_bed_believed AS
SELECT d.device, b.bed, tstzrange(lower(b.valid), upper(b.valid)) AS valid
FROM device d JOIN registered_device g USING (uuid) JOIN device_bed b USING (registered_device)
WHERE upper_inf(b.recorded);
CREATE OR REPLACE VIEW device_edge_believed AS
SELECT device, tstzrange(lower(valid), upper(valid)) AS valid FROM device_edge WHERE upper_inf(recorded);

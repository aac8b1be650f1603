"""Formats that several devices share: lines, MLLP, HL7 v2, points in time."""

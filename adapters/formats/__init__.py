"""Formats that several devices share: MLLP, HL7 v2, checksums."""

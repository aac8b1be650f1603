"""Protocols' state machines, one file each: bytes to frames and answers, without I/O and without a clock."""

"""The ward of a bed, as one key: who works where is said by it."""

from __future__ import annotations


def ward_of_bed(bed: str) -> str:
    """facility^ward of a bed's key (clinical/beds.py: bed_key); "" for the "" of an unknown bed."""
    facility, _, rest = bed.partition("^")
    return f"{facility}^{rest.partition('^')[0]}" if bed else ""

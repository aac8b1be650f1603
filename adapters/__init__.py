"""How one outside party speaks: bytes or resources to schemas and back. Pure; no I/O."""

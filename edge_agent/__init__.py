"""The bedside process: bytes in, sealed batches out, nothing lost."""

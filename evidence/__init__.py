"""What makes a record provable: leaf, tree, signed statements, receipts, verification. Pure; works offline."""

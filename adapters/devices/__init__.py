"""One file a device family; `registry.py` lists them."""

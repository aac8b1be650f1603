"""A box's program on its machine: installed, upgraded and removed, each by a table of steps that can be taken back."""

"""What a value means for a patient. Pure: no I/O; imports only `schemas`."""

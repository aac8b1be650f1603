"""What people and other systems look at."""

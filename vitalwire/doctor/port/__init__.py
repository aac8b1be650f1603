"""`vitalwire doctor PORT`: from an unknown cable to a sentence, and the configuration to paste."""

"""The EMR time-series store: the numbered migrations and every SQL statement there is."""

"""Who may see and do what: one pure function (`decision.may`) over one table (`access.toml`)."""

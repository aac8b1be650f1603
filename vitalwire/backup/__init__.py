"""Backup and restore of the hospital side by PostgreSQL's own tools: base backups, its log, keys and configuration."""

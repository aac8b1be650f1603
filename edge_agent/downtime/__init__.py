"""What a box itself shows of the last 24 hours when the hospital's side is away: docs/downtime.md.

The agent keeps it (`keeping`, `ring_file`); a process of its own, started when it is needed, shows it (`view`,
`server`). The agent imports nothing of the second.
"""

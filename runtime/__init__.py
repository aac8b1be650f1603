"""How a process stands on its machine: config, logs, metrics, TLS, key files, clock. Knows no vital sign."""

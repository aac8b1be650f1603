"""The hospital process: judge, store, alert, each a stage between topics."""

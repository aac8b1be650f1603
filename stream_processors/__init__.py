"""The hospital process: validate, store, alarm, each a stage between topics."""

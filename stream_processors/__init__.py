"""The hospital process: validate, sign, store, alert, deliver, each a stage between topics."""

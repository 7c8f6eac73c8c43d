"""Faults of all kinds under traffic, with a ledger that accounts for every message of durable channels."""

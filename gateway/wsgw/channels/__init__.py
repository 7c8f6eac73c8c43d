"""Channels: names, directions, patterns, and how they match NATS subjects."""

"""The NATS side: one connection at a time, publishes proven by fences. Nothing else of the gateway imports ``nats``."""

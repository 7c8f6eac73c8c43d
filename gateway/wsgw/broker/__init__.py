"""The NATS side: one connection at a time, publishes confirmed by fences. Nothing else imports ``nats``."""

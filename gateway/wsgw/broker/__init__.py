"""The NATS side: a connection, two while one is left; publishes proven by fences. Nothing else here imports ``nats``."""

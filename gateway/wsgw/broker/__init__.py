"""The NATS side: a connection, or two while one is left; publishes proven by fences. None else imports ``nats``."""

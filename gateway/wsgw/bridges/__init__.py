"""Interest in NATS: one bridge for each channel that delivers."""

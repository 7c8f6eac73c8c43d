"""What surfaces talk to: the gateway and the session."""

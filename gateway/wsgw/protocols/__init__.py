"""What clients speak: codecs and state machines without I/O."""

"""Server-sent events (WHATWG HTML, section 9.2): events and what a stream is asked for, without I/O."""

"""``/sse``: channels as streams of server-sent events."""

"""WebSocket (RFC 6455), as far as the library is passed by."""

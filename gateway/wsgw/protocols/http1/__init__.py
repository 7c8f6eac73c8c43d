"""HTTP/1.1 (RFC 9112), as far as a server has to understand it before an application does."""

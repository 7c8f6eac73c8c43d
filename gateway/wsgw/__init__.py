"""wsgw: a gateway between browsers (WebSocket, Socket.IO) and NATS."""

__version__ = "0.1.0"

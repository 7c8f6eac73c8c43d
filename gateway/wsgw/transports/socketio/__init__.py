"""The Socket.IO surface: ``SocketIOServer`` over ``EngineIOServer``."""

from wsgw.transports.socketio.connection import Connection, Service
from wsgw.transports.socketio.engineio import EngineIOServer, Options
from wsgw.transports.socketio.server import SocketIOServer

__all__ = ["Connection", "EngineIOServer", "Options", "Service", "SocketIOServer"]

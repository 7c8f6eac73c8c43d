"""The Socket.IO surface: ``SocketIOServer`` over ``EngineIOServer``."""

from wsgw.surfaces.socketio.engineio import EngineIOServer, Options
from wsgw.surfaces.socketio.server import SocketIOServer
from wsgw.surfaces.socketio.session import EngineSession, Service

__all__ = ["EngineIOServer", "EngineSession", "Options", "Service", "SocketIOServer"]

"""All that is fuzzed."""

from __future__ import annotations

from fuzz.target import Target
from fuzz.targets import config, connection, http, nats, proxies, socketio, tokens, websocket

_ROOMS = (http, proxies, websocket, socketio, tokens, nats, config, connection)
TARGETS: dict[str, Target] = {target.name: target for room in _ROOMS for target in room.TARGETS}
#: The modules that have them: a process of one target imports no others.
MODULES: dict[str, str] = {target.name: room.__name__ for room in _ROOMS for target in room.TARGETS}

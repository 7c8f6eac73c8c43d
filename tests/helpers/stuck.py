"""``python stuck.py HOW NATS_URL [SETTINGS]``: a gateway as ``wsgw server`` runs it, whose loop soon stands still.

It says ``stuck`` before; HOW names one of WAYS, ``in_c_at_rest`` begins with the stop. SETTINGS are keys of the
configuration as JSON.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import json
import logging
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from wsgw import log as logs
from wsgw.config.file import ConfigFile
from wsgw.config.load import load
from wsgw.process import server
from wsgw.process.gatewayserver import GatewayServer


def in_python() -> None:
    """Gives the interpreter's lock up, and never comes back."""
    while True:
        pass


def in_a_lock() -> None:
    """Waits in C without the interpreter's lock, and holds the log's, as one does whose output nobody takes."""
    handler = logging.getLogger().handlers[0]
    handler.acquire()
    never = threading.Lock()
    never.acquire()
    never.acquire()


def in_c() -> None:
    """Never gives the interpreter's lock up."""
    any(itertools.repeat(0))


def in_c_at_rest() -> None:
    """Holds the interpreter's lock and waits."""
    ctypes.PyDLL(None).sleep(3600)


async def deaf() -> None:
    """A task that does not end; the loop turns."""
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


WAYS: dict[str, Callable[[], object]] = {way.__name__: way for way in (in_python, in_a_lock, in_c, in_c_at_rest, deaf)}


def main() -> None:
    """See the module."""
    how, url, *more = sys.argv[1:]
    values = {"channels": [{"name": "OUT", "direction": "outbound"}], **(json.loads(more[0]) if more else {})}
    settings = load({"nats": {"servers": [url]}, "port": 0}, {}, ConfigFile("test", values))
    logs.setup("wsgw", "info", settings.log.format)
    startup = GatewayServer.startup
    tasks = []  # or it would be collected

    async def and_then(self: GatewayServer, sockets: Any = None) -> None:
        await startup(self, sockets)
        print("stuck", flush=True)
        if how == "deaf":
            tasks.append(asyncio.get_running_loop().create_task(deaf(), name="the deaf one"))
        elif how != "in_c_at_rest":
            WAYS[how]()

    async def shutdown(self: GatewayServer, sockets: Any = None) -> None:
        in_c_at_rest()

    GatewayServer.startup = and_then  # type: ignore[method-assign]
    if how == "in_c_at_rest":
        GatewayServer.shutdown = shutdown  # type: ignore[method-assign]
    server.run(settings)


if __name__ == "__main__":
    main()

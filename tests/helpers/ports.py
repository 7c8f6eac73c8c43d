"""TCP ports of this machine."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from wsgw.config.addresses import TcpAddress
from wsgw.process.listeners import open_listeners

#: Those that Linux gives to whoever does not ask for one.
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def listen() -> socket.socket:
    """A socket that listens on a free port of loopback, as the gateway's do."""
    (listener,) = open_listeners([TcpAddress("127.0.0.1", 0)])
    return listener.socket


def free_port() -> int:
    """A port that nothing listens on, now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def lasting_port() -> int:
    """A port for a server that is away now and then: the system gives it to nobody else meanwhile."""
    try:
        first = int(_RANGE.read_text().split()[0])
    except OSError:  # no Linux
        first = 32768
    while True:
        port = random.SystemRandom().randrange(10_000, max(first, 10_100))
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port``, on any address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True

"""Who is at the other end of a connection."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.utils import get_remote_addr

_MAPPED = "::ffff:"


def peer_of(transport: asyncio.Transport) -> tuple[str, int] | None:
    """Address and port; None of a unix socket, and of who has reset the connection: that took its address with it.

    IPv4 is as IPv4, also by a listener of IPv6 that takes it (``[::]``).
    """
    found = get_remote_addr(transport)
    if found is not None and found[0].startswith(_MAPPED) and "." in found[0]:
        return found[0][len(_MAPPED) :], found[1]
    return found


def is_unix(own: tuple[str, int | None] | None) -> bool:
    """Whether it is a unix socket's connection, by its ``own`` address: that has no port then."""
    return own is not None and own[1] is None

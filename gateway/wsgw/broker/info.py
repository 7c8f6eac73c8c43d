"""What a server says of itself, in its INFO lines (docs.nats.io, client protocol). Nothing of it is trusted."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

DEFAULT_MAX_PAYLOAD_BYTES = 1024 * 1024
#: What is believed of ``max_payload`` at most: nats-server allows no more, nor is more taken from clients
#: (``process.server``).
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
#: Servers of a cluster that are remembered; one will be there.
MAX_URLS = 100

#: Of a server's id, which is 56 characters.
MAX_ID_LENGTH = 100

#: Of a host, maybe in brackets, and a port.
_URL = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255}):[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """``max_payload_bytes`` is at most MAX_PAYLOAD_BYTES; ``urls`` are HOST:PORT of the servers of its cluster.

    ``id`` is that of the server; ``lame_duck`` that it takes no new clients, and is about to close those it has.
    """

    max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES
    headers: bool = False
    urls: tuple[str, ...] = ()
    id: str = ""
    lame_duck: bool = False

    @classmethod
    def parse(cls, text: bytes, before: ServerInfo) -> ServerInfo:
        """Of what stands behind INFO; raises ValueError, see ``of``."""
        try:
            info = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("INFO that is no JSON") from None
        return cls.of(info, before)

    @classmethod
    def of(cls, info: object, before: ServerInfo | None = None) -> ServerInfo:
        """Of the object in an INFO line; what it leaves out is as ``before``. Raises ValueError with the reason.

        URLs that are none are left out.
        """
        if not isinstance(info, dict):
            raise ValueError("INFO that is no object")  # noqa: TRY004  # as of all that is wrong with it
        before = before or cls()
        most = info.get("max_payload", before.max_payload_bytes)
        if type(most) is not int or most < 1:  # True is an int too
            # of what holds others only the type: they may be as deep as they like, and repr copies each level
            said = type(most).__name__ if isinstance(most, (list, dict)) else repr(most)[:40]
            raise ValueError(f"a max_payload in INFO that is none: {said}")
        urls = info.get("connect_urls", before.urls)
        id = info.get("server_id", before.id)
        return cls(
            min(most, MAX_PAYLOAD_BYTES),
            bool(info.get("headers", before.headers)),
            _addresses(urls) if isinstance(urls, list) else before.urls,
            id[:MAX_ID_LENGTH] if isinstance(id, str) else before.id,
            before.lame_duck or info.get("ldm") is True,  # it is said once, and there is no way back
        )


def _addresses(urls: list[object]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for url in urls:
        if len(found) >= MAX_URLS:
            break
        if isinstance(url, str) and _URL.fullmatch(url) and int(url.rpartition(":")[2]) <= 65535:
            found[url] = None
    return tuple(found)

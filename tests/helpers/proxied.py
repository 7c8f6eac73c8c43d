"""A gateway behind a real proxy as clients see it: by the site's name, with TLS or without, below a path or not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from helpers.authority import Authority
from helpers.event_stream import EventParser, SentEvent
from helpers.gateway import GatewayProcess
from helpers.node_program import NodeProgram
from helpers.proxies import NAME, PATH, RealProxy, configured
from helpers.waiting import DEADLINE_SECONDS, eventually

#: A script's beginning in Node, which finds the site here and trusts its certificate.
NODE_RESOLVES = f"""
const dns = require("node:dns");
const lookup = dns.lookup;
dns.lookup = (host, ...more) => lookup(host === "{NAME}" ? "127.0.0.1" : host, ...more);
"""


@contextmanager
def resolved() -> Iterator[None]:
    """The site's name is this machine's, for this process."""
    real = socket.getaddrinfo

    def found(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host in (NAME, NAME.encode()) else host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", found)
        yield


class Stream:
    """Server-sent events as they come; ``next`` is the next one."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._parts = answer.aiter_raw()
        self._parser = EventParser()
        self._events: list[SentEvent] = []

    async def next(self) -> SentEvent:
        """Raises StopAsyncIteration when the stream ends before, httpx.RemoteProtocolError when it is cut."""
        while not self._events:
            self._events += self._parser.feed(await anext(self._parts))
        return self._events.pop(0)


class Site:
    """``proxy`` in front of ``gateway``, or the first of several; without TLS ``authority`` is None."""

    def __init__(self, kind: str, proxy: RealProxy, gateway: GatewayProcess, authority: Authority | None, path: str):
        self.kind = kind
        self.proxy = proxy
        self.gateway = gateway
        self.path = path
        self.origin = f"http{'s' if authority else ''}://{NAME}:{proxy.port}"
        self.url = self.origin + path
        self.authority = authority
        self.context = None if authority is None else ssl.create_default_context(cafile=authority.file)

    def websocket(self, path: str, **options: Any) -> connect:
        """A client of ``path`` on a page of the site."""
        url = self.url.replace("http", "ws", 1) + path
        options = {"origin": self.origin, "max_size": None, "ssl": self.context, **options}
        return connect(url, proxy=None, **options)

    def http(self, **options: Any) -> httpx.AsyncClient:
        """The same for HTTP."""
        headers = {"origin": self.origin}
        verify = True if self.context is None else self.context
        options = {"headers": headers, "timeout": DEADLINE_SECONDS, "verify": verify, **options}
        return httpx.AsyncClient(base_url=self.url, trust_env=False, **options)

    @asynccontextmanager
    async def events(self, path: str) -> AsyncIterator[Stream]:
        async with self.http() as http, http.stream("GET", path) as answer:
            yield Stream(answer)

    async def node(self, folder: Path, script: str) -> NodeProgram:
        """``script`` with npm's socket.io-client; ``url``, ``path`` and ``ca`` are in it."""
        file = folder / "page.cjs"
        file.write_text(NODE_RESOLVES + script)
        program = NodeProgram()
        ca = "" if self.authority is None else str(self.authority.file)
        await program.run(file, self.origin, f"{self.path}/socket.io/", ca)
        return program

    async def serves(self) -> None:
        """Returns when the gateway answers by the proxy."""
        async with self.http() as http:

            async def answers() -> bool:
                assert self.proxy.process.poll() is None, self.proxy.output
                try:
                    return (await http.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(answers, f"{self.kind} passes on")  # type: ignore[arg-type]  # mypy finds no T for it


@asynccontextmanager
async def site(
    kind: str,
    folder: Path,
    gateways: Iterable[GatewayProcess],
    authority: Authority | None,
    *,
    tls: bool = False,
    below: bool = False,
    text: str | None = None,
) -> AsyncIterator[Site]:
    """A site by the page's configuration of that ``kind``, or by ``text``."""
    first, *others = gateways
    text = configured(kind, tls=tls, below=below) if text is None else text
    proxy = RealProxy(kind, folder, text, [each.port for each in (first, *others)], authority)
    try:
        made = Site(kind, proxy, first, authority if tls else None, PATH if below else "")
        await made.serves()
        yield made
    finally:
        proxy.kill()

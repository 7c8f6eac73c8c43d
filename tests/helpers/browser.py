"""A real browser, Chromium without a window, driven by the DevTools protocol (chromedevtools.github.io)."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Names it; and where it is set to ``required``, a browser has to be found.
VARIABLE = "WSGW_BROWSER"
START_SECONDS = 60.0
ANSWER_SECONDS = 40.0

_LISTENING = re.compile(rb"DevTools listening on (ws://\S+)")
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--no-proxy-server", "--disable-background-networking", "--disable-component-update", "--mute-audio"),
    # its handler of crashes is a process of its own, which would stay behind
    *("--disable-breakpad", "--disable-crash-reporter"),
    # all of the tests' servers are on this machine, and nobody is there to allow it
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
)


def find() -> str:
    """The browser's program; skips the test where there is none, or fails it where there has to be one."""
    told = os.environ.get(VARIABLE, "")
    names = PROGRAMS if told in ("", "required") else (told,)
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        problem = f"there is no {' or '.join(names)} on this machine; on Debian: apt-get install chromium"
        if told:
            pytest.fail(problem)
        pytest.skip(problem)
    return found


class Browser:
    """Started by the constructor, in ``folder``; ``names`` are resolved to this machine. ``blind``: any certificate is
    good enough.
    """

    def __init__(self, folder: Path, *names: str, blind: bool = False) -> None:
        rules = ",".join(f"MAP {name} 127.0.0.1" for name in names)
        self._log = folder / "chromium.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(find(), *_OPTIONS, f"--host-resolver-rules={rules}"),
                    *(["--ignore-certificate-errors"] if blind else []),
                    *(f"--user-data-dir={folder / 'profile'}", "--remote-debugging-port=0", "about:blank"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._url = self._wait()

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @asynccontextmanager
    async def page(self, url: str, content: str | None = None) -> AsyncIterator[Page]:
        """A page of ``url`` in a window of its own, without anybody's cookies.

        With ``content`` that is what the address gives, whoever is there: as before a name was rebound.
        """
        async with connect(self._url, max_size=None, proxy=None) as connection:
            tools = _Tools(connection)
            reading = asyncio.get_running_loop().create_task(tools.read())
            try:
                context = (await tools.ask("Target.createBrowserContext"))["browserContextId"]
                blank = {"url": "about:blank", "browserContextId": context}
                target = (await tools.ask("Target.createTarget", **blank))["targetId"]
                attached = await tools.ask("Target.attachToTarget", targetId=target, flatten=True)
                page = Page(tools, attached["sessionId"])
                await page.open(url, content)
                yield page
                await tools.ask("Target.disposeBrowserContext", browserContextId=context)
            finally:
                reading.cancel()

    def _wait(self) -> str:
        deadline = time.monotonic() + START_SECONDS
        while (found := _LISTENING.search(self._log.read_bytes())) is None:
            assert self._process.poll() is None, self._log.read_text(errors="replace")
            assert time.monotonic() < deadline, self._log.read_text(errors="replace")
            time.sleep(0.02)
        return found[1].decode()


class _Tools:
    """One connection of the protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        message = {"id": number, "method": method, "params": params}
        await self._connection.send(json.dumps(message | ({} if session is None else {"sessionId": session})))
        async with asyncio.timeout(ANSWER_SECONDS):
            told = await answer
        assert "error" not in told, (method, told)
        result: dict[str, Any] = told["result"]
        return result

    async def event(self, method: str) -> dict[str, Any]:
        """The next one of that name; others are passed over."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while (event := await self.events.get())["method"] != method:
                pass
        params: dict[str, Any] = event["params"]
        return params

    async def read(self) -> None:
        with suppress(ConnectionClosed):
            async for message in self._connection:
                told = json.loads(message)
                if "id" in told:
                    self._asked.pop(told["id"]).set_result(told)
                else:
                    self.events.put_nowait(told)


class Page:
    """What a browser shows of one address."""

    def __init__(self, tools: _Tools, session: str) -> None:
        self._tools = tools
        self._session = session

    async def open(self, url: str, content: str | None = None) -> None:
        """Go to ``url``; returns when it is loaded. See ``Browser.page``."""
        ask = self._tools.ask
        await ask("Page.enable", self._session)
        if content is None:
            await ask("Page.navigate", self._session, url=url)
        else:
            await ask("Fetch.enable", self._session, patterns=[{"urlPattern": "*", "resourceType": "Document"}])
            going = asyncio.get_running_loop().create_task(ask("Page.navigate", self._session, url=url))
            paused = await self._tools.event("Fetch.requestPaused")
            await ask(
                "Fetch.fulfillRequest",
                self._session,
                requestId=paused["requestId"],
                responseCode=200,
                responseHeaders=[{"name": "content-type", "value": "text/html"}],
                body=base64.b64encode(content.encode()).decode(),
            )
            await going
        await self._tools.event("Page.loadEventFired")
        if content is not None:
            await ask("Fetch.disable", self._session)

    async def run(self, function: str, *arguments: Any) -> Any:
        """What the page's ``function`` (JavaScript) makes of ``arguments``, when it is settled; both are JSON."""
        expression = f"({function})({', '.join(map(json.dumps, arguments))})"
        told = await self._tools.ask(
            "Runtime.evaluate", self._session, expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

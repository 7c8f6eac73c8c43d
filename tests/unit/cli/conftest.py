"""The installed command as a subprocess, and a real nats-server to talk to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Protocol

import pytest
import socketio
from aiohttp import web

from helpers.nats_server import NatsServer

SCRIPTS = Path(sys.executable).parent
DEADLINE_SECONDS = 30.0


def _hear_hangups() -> None:
    """Also where the tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Command:
    """A running ``wsgw``: ``output`` is what it printed, ``messages`` its log lines without time and label."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._data = b""
        self._changed = asyncio.Condition()
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while data := await self.process.stdout.read(65536):
            async with self._changed:
                self._data += data
                self._changed.notify_all()

    @property
    def output(self) -> str:
        return self._data.decode(errors="replace")

    @property
    def messages(self) -> list[str]:
        return [line.partition("] ")[2] or line for line in self.output.splitlines()]

    async def printed(self, text: str) -> None:
        """Wait until ``text`` is somewhere in the output."""
        async with asyncio.timeout(DEADLINE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: text in self.output or self._reader.done())
        assert text in self.output, self.output

    async def ended(self) -> int:
        """Wait for the exit code."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self._reader
            return await self.process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return await self.ended()


class Start(Protocol):
    def __call__(self, *arguments: str, **environment: str) -> Awaitable[Command]: ...


@pytest.fixture
async def wsgw() -> AsyncIterator[Start]:
    """Start the installed ``wsgw`` with arguments and further environment variables."""
    commands: list[Command] = []

    async def start(*arguments: str, **environment: str) -> Command:
        process = await asyncio.create_subprocess_exec(
            SCRIPTS / "wsgw",
            *arguments,
            env={k: v for k, v in os.environ.items() if not k.startswith(("WSGW_", "NATS_"))} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=_hear_hangups,
        )
        commands.append(Command(process))
        return commands[-1]

    yield start
    for command in commands:
        if command.process.returncode is None:
            command.process.kill()
        await command.ended()


@pytest.fixture
def nats_url(nats: NatsServer) -> str:
    """The URL of a nats-server that stays."""
    return nats.url


class Gateway:
    """A Socket.IO server (python-socketio's, an independent one) that behaves as the gateway's surface does.

    Events on OUT are accepted, SUM is a request channel, SILENT never acks, anything else is refused.
    """

    def __init__(self) -> None:
        self.sio = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=[])
        self.sio.on("connect", self._connect)
        self.sio.on("disconnect", self._disconnect)
        self.sio.on("*", self._event)
        self.queries: list[str] = []
        self.received: list[tuple[object, ...]] = []
        self.sids: list[str] = []
        self.port = 0
        self.refusal: tuple[object, ...] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        application = web.Application()
        self.sio.attach(application)
        self._runner = web.AppRunner(application, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self.sio.shutdown()
        await self._runner.cleanup()

    async def _connect(self, sid: str, environ: dict[str, str]) -> None:
        if self.refusal is not None:
            raise socketio.exceptions.ConnectionRefusedError(*self.refusal)
        self.queries.append(environ["QUERY_STRING"])
        self.sids.append(sid)

    async def _disconnect(self, sid: str, reason: str) -> None:
        self.sids.remove(sid)

    async def _event(self, event: str, sid: str, *arguments: object) -> object:
        self.received.append((event, *arguments))
        if event == "OUT":
            return True
        if event == "SUM":
            return "3" if arguments[0] != "binary" else b"\xff"
        if event == "SILENT":
            await asyncio.sleep(3600)
        if event == "GONE":
            await self.sio.disconnect(sid)
        return {"error": {"code": "unknown_channel", "message": f"no channel {event}"}}


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    server = Gateway()
    await server.start()
    yield server
    await server.stop()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()

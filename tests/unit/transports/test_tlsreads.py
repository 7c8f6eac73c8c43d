"""What is read of connections with TLS: a little at a time, and in turn, whatever its records cost."""

from __future__ import annotations

import _ssl
import asyncio
import ctypes
import hmac
import socket
import ssl
from collections.abc import Coroutine
from pathlib import Path
from time import monotonic
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from helpers.certificates import Pair, blind
from helpers.waiting import eventually
from unit.transports.test_tls import REQUEST, Client, Served
from wsgw.shares.slices import TICK_SECONDS, Slices
from wsgw.transports import tlsreads
from wsgw.transports.tlsreads import READ_BYTES, TlsReads

UPDATES = 20_000
UPDATE_REQUESTED = 1


class KeyUpdater:
    """A client that has its keys changed as often as it likes, which Python's ssl cannot do."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(_ssl.__file__)
            _ = self._library.SSL_key_update
        except (AttributeError, OSError):
            pytest.skip("OpenSSL is not to be had beside Python's ssl")
        pointer = self._call("SSL_CTX_new", self._call("TLS_client_method"))
        self._tls = self._call("SSL_new", pointer)
        self._incoming, self._outgoing = [self._call("BIO_new", self._call("BIO_s_mem")) for _ in range(2)]
        self._call("SSL_set_bio", self._tls, self._incoming, self._outgoing)
        self._call("SSL_set_connect_state", self._tls)

    async def connect(self, port: int) -> asyncio.StreamWriter:
        self._reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while self._call("SSL_do_handshake", self._tls) != 1:
            writer.write(self._made())
            data = await self._reader.read(65536)
            assert data, "it ended"
            self._call("BIO_write", self._incoming, data, ctypes.c_int(len(data)))
        writer.write(self._made())
        return writer

    def updates(self, count: int) -> bytes:
        """So many in a row."""
        for _ in range(count):
            assert self._call("SSL_key_update", self._tls, ctypes.c_int(UPDATE_REQUESTED)) == 1
            self._call("SSL_do_handshake", self._tls)
        return self._made()

    def sealed(self, data: bytes) -> bytes:
        self._call("SSL_write", self._tls, data, ctypes.c_int(len(data)))
        return self._made()

    async def answer(self) -> bytes:
        room = ctypes.create_string_buffer(65536)
        while (size := self._int("SSL_read", self._tls, room, 65536)) <= 0:
            data = await self._reader.read(65536)
            assert data, "it ended"
            self._call("BIO_write", self._incoming, data, ctypes.c_int(len(data)))
        return room.raw[:size]

    def _call(self, name: str, *arguments: Any) -> Any:
        function = getattr(self._library, name)
        function.restype = ctypes.c_void_p
        return function(*[ctypes.c_void_p(each) if isinstance(each, int) else each for each in arguments])

    def _int(self, name: str, *arguments: Any) -> int:
        function = getattr(self._library, name)
        function.restype = ctypes.c_int
        return int(function(*[ctypes.c_void_p(arguments[0]), *arguments[1:-1], ctypes.c_int(arguments[-1])]))

    def _made(self) -> bytes:
        room, made = ctypes.create_string_buffer(1 << 20), b""
        while (size := self._int("BIO_read", self._outgoing, room, 1 << 20)) > 0:
            made += room.raw[:size]
        return made


async def test_changes_of_keys_do_not_keep_the_loop(tmp_path: Path) -> None:
    served = Served(Pair(tmp_path))
    await served.server.start()
    client = KeyUpdater()
    writer = await client.connect(served.server.port)
    flood = client.updates(UPDATES) + client.sealed(REQUEST % 1)
    longest, began = 0.0, monotonic()
    answering = asyncio.create_task(client.answer())
    writer.write(flood)
    async with asyncio.timeout(60):
        while not answering.done():
            before = monotonic()
            await asyncio.sleep(0)
            longest = max(longest, monotonic() - before)
    assert b"https /1;" in answering.result()
    assert longest < (monotonic() - began) / 4
    writer.transport.abort()
    await served.server.stop()


async def test_many_who_flood_at_once_keep_nobody_waiting(tmp_path: Path) -> None:
    """Each with no more than one read may have: who asks for something meanwhile has its answer before most of them."""
    served = Served(Pair(tmp_path))
    await served.server.start()
    clients = [KeyUpdater() for _ in range(40)]
    writers = [await client.connect(served.server.port) for client in clients]
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port, ssl=blind())
    floods = [client.updates(550) + client.sealed(REQUEST % 1) for client in clients]
    assert READ_BYTES * 0.9 < len(floods[0]) < READ_BYTES
    order: list[str] = []

    async def answered(name: str, answer: Coroutine[Any, Any, bytes]) -> None:
        assert b"https /1;" in await answer
        order.append(name)

    for each, flood in zip(writers, floods, strict=True):
        each.write(flood)
    writer.write(REQUEST % 1)
    async with asyncio.timeout(60):
        await asyncio.gather(
            *(answered("a flood", client.answer()) for client in clients),
            answered("it", reader.readuntil(b"https /1;")),
        )
    assert order.index("it") < len(clients) / 2
    for each in (*writers, writer):
        each.transport.abort()
    await served.server.stop()


class Costly:
    """TLS of which a read costs ``cost`` seconds, unless it is held; and its two transports."""

    def __init__(self) -> None:
        self.now = 100.0
        self.cost = 2 * TICK_SECONDS
        self.taken = self.waiting = 0
        self.answers = self.unsent = 0  # bytes: to a read, and those that the client has not taken
        self.holds: list[str] = []

    def get_buffer(self, sizehint: int) -> bytearray:
        return bytearray(256 * 1024)

    def buffer_updated(self, nbytes: int) -> None:
        if self.holds[-1:] == ["hold"]:
            self.waiting += 1
        else:
            self.taken += 1
            self.now += self.cost
            self.unsent += self.answers

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_writing(self) -> None:
        self.holds.append("full")

    def resume_writing(self) -> None:
        self.holds.append("taken")

    def connection_lost(self, exc: Exception | None) -> None:
        self.holds.append("lost")

    def hold(self) -> None:
        self.holds.append("hold")

    def release(self) -> None:
        self.holds.append("release")

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.holds.append("pause")

    def resume_reading(self) -> None:
        self.holds.append("resume")

    def abort(self) -> None:
        self.holds.append("abort")


def reads_of(tls: Costly, monkeypatch: pytest.MonkeyPatch) -> TlsReads:
    monkeypatch.setattr(tlsreads, "monotonic", lambda: tls.now)
    slices = Slices(asyncio.get_running_loop(), lambda: tls.now)
    return TlsReads(cast("Any", tls), cast("Any", tls), slices)


async def test_a_handshake_has_one_read_in_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = reads_of(tls := Costly(), monkeypatch)
    assert len(reads.get_buffer(1 << 20)) == READ_BYTES
    reads.buffer_updated(1)
    assert tls.holds == ["pause"]
    await asyncio.sleep(0)
    assert tls.holds == ["pause", "resume"]


async def test_who_costs_much_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = reads_of(tls := Costly(), monkeypatch)
    reads.entered(tls)
    reads.buffer_updated(1)
    reads.buffer_updated(1)
    assert (tls.taken, tls.waiting, tls.holds) == (1, 1, ["hold"])
    await asyncio.sleep(0)
    assert tls.holds == ["hold", "release"]


async def test_who_costs_little_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = reads_of(tls := Costly(), monkeypatch)
    reads.entered(tls)
    tls.cost = tlsreads.LEAST_SECONDS / 2
    for _ in range(100):
        reads.buffer_updated(1)
    assert (tls.taken, tls.holds) == (100, [])


async def test_who_is_gone_has_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = reads_of(tls := Costly(), monkeypatch)
    reads.entered(tls)
    reads.buffer_updated(1)
    reads.connection_lost(None)
    await asyncio.sleep(0)
    assert tls.holds == ["hold", "lost"]


async def test_who_takes_no_answers_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = reads_of(tls := Costly(), monkeypatch)
    tls.cost, tls.answers = 0.0, 10
    reads.entered(tls)
    reads.buffer_updated(1)
    reads.pause_writing()
    assert tls.holds == ["full"], "there may be no more answers"
    reads.buffer_updated(1)
    reads.buffer_updated(1)
    assert (tls.taken, tls.waiting, tls.holds) == (2, 1, ["full", "hold"])
    reads.resume_writing()
    await asyncio.sleep(0)
    assert tls.holds == ["full", "hold", "taken", "release"]


async def test_who_takes_no_answers_as_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes is read then, held or not, for as long as something waits to be taken."""
    reads = reads_of(tls := Costly(), monkeypatch)
    tls.cost, tls.answers = 0.0, 10
    reads.entered(tls)
    reads.pause_writing()
    reads.buffer_updated(1)
    tls.holds.clear()
    reads.buffer_updated(1)
    assert tls.holds == ["abort"]


async def test_who_takes_nothing_and_gets_no_answers_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = reads_of(tls := Costly(), monkeypatch)
    tls.cost, tls.unsent = 0.0, 1000
    reads.entered(tls)
    reads.pause_writing()
    for _ in range(100):
        reads.buffer_updated(1)
    assert (tls.taken, tls.holds) == (100, ["full"])


async def test_who_waits_for_its_turn_and_takes_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = reads_of(tls := Costly(), monkeypatch)
    reads.entered(tls)
    reads.pause_writing()
    tls.answers = 10
    reads.buffer_updated(1)
    assert tls.holds == ["full", "hold"]
    await asyncio.sleep(0)
    assert tls.holds == ["full", "hold"], "it had no turn"
    reads.resume_writing()
    reads.resume_writing()
    await asyncio.sleep(0)
    assert tls.holds == ["full", "hold", "taken", "taken", "release"]


class Renegotiator:
    """A client of TLS 1.2 that makes its records itself: its handshake is done, and it would have another."""

    HELLO = b"\x01\x00\x00\x00"

    def __init__(self, client: Client, keys: Path) -> None:
        self._client = client
        self._keys = keys
        self._number = 1  # of the next record

    async def shake_hands(self) -> None:
        context = blind()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        context.keylog_filename = str(self._keys)
        client = self._client
        client.tls = context.wrap_bio(client.incoming, client.outgoing, server_hostname="localhost")
        client.writer.write(client.hello())
        theirs = await client.reader.readexactly(43)
        client.incoming.write(theirs)
        while True:
            try:
                client.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.writer.write(client.outgoing.read())
                await client.read()
        _, ours, secret = next(line for line in self._keys.read_text().splitlines() if line[0] == "C").split()
        keys = _expanded(bytes.fromhex(secret), b"key expansion" + theirs[11:] + bytes.fromhex(ours), 40)
        self._sealing, self._salt = AESGCM(keys[:16]), keys[32:36]

    def wishes(self, count: int) -> bytes:
        """So many in a row; RFC 5246 section 6.2.3.3, RFC 5288."""
        made = []
        for number in range(self._number, self._number + count):
            nonce = number.to_bytes(8, "big")
            associated = nonce + b"\x16\x03\x03" + len(self.HELLO).to_bytes(2, "big")
            sealed = nonce + self._sealing.encrypt(self._salt + nonce, self.HELLO, associated)
            made.append(b"\x16\x03\x03" + len(sealed).to_bytes(2, "big") + sealed)
        self._number += count
        return b"".join(made)


def _expanded(secret: bytes, seed: bytes, size: int) -> bytes:
    """RFC 5246 section 5."""
    made, last = b"", seed
    while len(made) < size:
        last = hmac.digest(secret, last, "sha256")
        made += hmac.digest(secret, last + seed, "sha256")
    return made


async def test_wishes_to_renegotiate_are_not_answered_without_end(tmp_path: Path) -> None:
    """Each is answered with an alert: who takes none has the rest of its wishes wait, and not the answers to them."""
    served = Served(Pair(tmp_path))
    await served.server.start()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", served.server.port))
    client = Client(*await asyncio.open_connection(sock=raw, limit=1))
    attacker = Renegotiator(client, tmp_path / "keys")
    await attacker.shake_hands()
    (within,) = await eventually(lambda: [each for each in served.connections if each._fresh], "it is within")
    transport = within._transport
    client.writer.write(attacker.wishes(100_000))
    await eventually(lambda: transport._held, "it is not heard any more")
    assert transport.get_write_buffer_size() < 10 * READ_BYTES
    transport.close()
    await eventually(lambda: not served.connections, "it is dropped")
    client.writer.transport.abort()
    await served.server.stop()

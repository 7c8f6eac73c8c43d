"""A process of the load generator: many clients, one epoll, commands through a pipe.

Commands are ``(name, arguments)``; what it reports are ``(name, value)``: ``connected``; ``round`` (phase, number):
every client has all of it, where each count and check begins a phase; ``stalled`` (how many); ``closed`` (the close
codes); ``latencies``, ``cpu``, ``state``; and ``failed`` with a sentence, after which it ends.
"""

from __future__ import annotations

import os
import select
import time
from array import array
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

from bench.client import Client, ClientError
from bench.frames import CLOSE, masked
from bench.payload import payload
from bench.streamclient import client_of
from bench.wires import Wire

BUFFER_BYTES = 1024 * 1024
#: Connections being opened at a time.
OPENING = 64
#: The numbers that one sender has to itself.
NUMBERS_PER_CLIENT = 100_000


def run(pipe: Connection) -> None:
    """The process' whole life."""
    worker = _Worker(pipe)
    try:
        worker.loop()
    except (ClientError, OSError) as error:
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
    except (EOFError, KeyboardInterrupt):
        pass
    except Exception as error:  # a fault of ours: the runner has to know, too
        pipe.send(("failed", repr(error)))
        raise


class _Worker:
    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._epoll = select.epoll()
        self._epoll.register(pipe.fileno(), select.EPOLLIN)
        self._buffer = bytearray(BUFFER_BYTES)
        self._clients: dict[int, Client] = {}
        self._all: list[Client] = []
        self._to_open: list[Client] = []
        self._opening: set[int] = set()
        self._port, self._source, self._narrow = 0, "", 0
        self._reached: Counter[int] = Counter()
        self._phase = 0
        self._closing = False
        self._writing: set[int] = set()  # clients that are watched for room to write
        self._rest = 0.0

    def loop(self) -> None:
        pipe_fd = self._pipe.fileno()
        while True:
            if self._rest:
                time.sleep(self._rest)
            for fd, events in self._epoll.poll():
                if fd == pipe_fd:
                    name, arguments = self._pipe.recv()
                    if name == "stop":
                        return
                    getattr(self, f"_do_{name}")(**arguments)
                elif (client := self._clients.get(fd)) is not None:
                    self._handle(client, fd, events)

    def _handle(self, client: Client, fd: int, events: int) -> None:
        if events & select.EPOLLOUT:
            if fd in self._opening and not client.requested:
                if error := client.socket.getsockopt(1, 4):  # SOL_SOCKET, SO_ERROR
                    raise OSError(error, os.strerror(error))
                client.request()
            else:
                client.flush()
        if events & ~select.EPOLLOUT:
            try:
                size = client.socket.recv_into(self._buffer)
            except BlockingIOError:  # of TLS: nothing that is within it
                return
            if size == 0:
                self._ended(client, fd)
                return
            client.receive(self._buffer, size)
            if client.progress >= client.goal:
                self._progress(client, fd)
        self._watch(client, fd)

    def _watch(self, client: Client, fd: int) -> None:
        if fd in self._clients and bool(client.unsent) != (fd in self._writing):
            self._writing ^= {fd}
            self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if client.unsent else 0))

    def _progress(self, client: Client, fd: int) -> None:
        if fd in self._opening:
            self._opening.discard(fd)
            self._open_more()
            if not self._opening:
                self._pipe.send(("connected", len(self._all)))
            client.idle()
            return
        while client.progress >= client.goal:
            client.goal += client.step
            client.round += 1
            self._reached[client.round] += 1
            if self._reached[client.round] == len(self._clients):
                self._pipe.send(("round", (self._phase, client.round)))

    def _ended(self, client: Client, fd: int) -> None:
        if not self._closing:
            raise ClientError(f"client {client.index}: the server closed the connection, code {client.close_code}")
        self._epoll.unregister(fd)
        del self._clients[fd]
        self._writing.discard(fd)
        client.socket.close()
        if not self._clients:
            codes = Counter(client.close_code for client in self._all)
            self._all.clear()
            self._closing = False
            self._pipe.send(("closed", dict(codes)))

    # -- commands

    def _do_connect(
        self, wire: Wire, port: int, clients: list[tuple[int, str]], source: str, subscribe: bool, narrow: int
    ) -> None:
        self._port, self._source, self._narrow = port, source, narrow
        self._to_open = [client_of(wire, channel, index, subscribe=subscribe) for index, channel in reversed(clients)]
        self._open_more()

    def _open_more(self) -> None:
        while self._to_open and len(self._opening) < OPENING:
            client = self._to_open.pop()
            narrow = self._narrow > 0 and client.index % self._narrow == 0
            client.connect(self._port, self._source, narrow=narrow)
            fd = client.socket.fileno()
            self._all.append(client)
            self._clients[fd] = client
            self._opening.add(fd)
            self._writing.add(fd)
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLOUT)

    def _do_stall(self) -> None:
        """Stop reading from the narrow clients, for good."""
        stalled = [client for client in self._clients.values() if client.narrow]
        for client in stalled:
            fd = client.socket.fileno()
            self._epoll.unregister(fd)
            del self._clients[fd]
        self._pipe.send(("stalled", len(stalled)))

    def _do_count(self, size: int, messages: int, acks: bool, rest: float = 0) -> None:
        """With ``rest`` look for messages only so often, in seconds: then no server has to wake this process."""
        self._begin_phase(rest)
        for client in self._clients.values():
            wire = client.wire
            client.count(wire.ack(0) if acks else wire.delivery(client.channel, payload(0, size)), messages)

    def _do_check(self, size: int, first: int, messages: int, acks: bool, clock: bool) -> None:
        self._begin_phase(0)
        for client in self._clients.values():
            client.check(size, first, messages, acks=acks, clock=clock)

    def _begin_phase(self, rest: float) -> None:
        self._reached.clear()
        self._phase += 1
        self._rest = rest

    def _do_send(self, size: int, messages: int, acks: bool) -> None:
        """Every client publishes one round, all the same bytes."""
        block = b""
        for fd, client in self._clients.items():
            if not block:
                block = self._block(client, size, [0] * messages, acks)
            client.send(block)
            self._watch(client, fd)

    def _do_send_numbered(self, size: int, messages: int, acks: bool) -> None:
        for fd, client in self._clients.items():
            first = client.index * NUMBERS_PER_CLIENT
            client.send(self._block(client, size, range(first, first + messages), acks, first))
            self._watch(client, fd)

    @staticmethod
    def _block(client: Client, size: int, numbers: Any, acks: bool, first: int = 0) -> bytes:
        wire = client.wire
        return b"".join(
            masked(wire.publish(client.channel, payload(number, size), number - first if acks else None), wire.opcode)
            for number in numbers
        )

    def _do_close(self) -> None:
        """Begin the closing handshake everywhere; the server's answers are reported."""
        self._closing = True
        for fd, client in self._clients.items():
            client.send(masked((1000).to_bytes(2, "big"), CLOSE))
            self._watch(client, fd)

    def _do_latencies(self) -> None:
        found = array("q")
        for client in self._clients.values():
            found.extend(client.latencies or ())
        self._pipe.send(("latencies", found.tobytes()))

    def _do_cpu(self) -> None:
        self._pipe.send(("cpu", time.process_time()))

    def _do_state(self) -> None:
        numbers = sorted(client.progress // client.unit for client in self._clients.values())
        text = f"{len(numbers)} clients, {len(self._opening)} opening; messages least {numbers[0]}, most {numbers[-1]}"
        self._pipe.send(("state", text if numbers else "no clients"))

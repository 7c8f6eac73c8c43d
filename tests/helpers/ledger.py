"""What senders were told of their messages, against what NATS got: accepted messages are there, once and in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from helpers.waiting import DEADLINE_SECONDS

#: For a server that is stopped for a while: it would find its subscribers slow, or silent, when it wakes up.
PATIENT_SERVER = 'write_deadline: "10m"\nping_interval: "10m"\nmax_pending: 4294967296\n'
#: Errors of messages that NATS may have; with any other it has not.
UNKNOWN = frozenset({"unconfirmed"})

_OK = b"+OK\r\n"
_PING = b"PING\r\n"
_PONG = b"PONG\r\n"


def stamped(sender: int, passage: int, number: int, size: int) -> bytes:
    """The payload of a message, ``size`` bytes at least; ASCII without anything that JSON escapes."""
    return (b"%d %d %d " % (sender, passage, number)).ljust(size, b".")


class Passage:
    """One connection of a sender, which numbers its messages from 0.

    ``sent`` were given to TCP; the last of them may be there in part. ``answers`` has the acks by number: an error's
    code, or an empty string for true. ``code`` is the gateway's close code, 1006 where it just ended.
    """

    def __init__(self, sender: int, number: int, *, acked: bool) -> None:
        self.sender = sender
        self.number = number
        self.acked = acked
        self.sent = 0
        self.answers: dict[int, str] = {}
        self.code: int | None = None


class Ledger(asyncio.Protocol):
    """A subscriber of NATS without a library, so that it can keep up. Open it with ``Ledger.connect``."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._pong = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        #: the numbers that arrived, by sender and passage
        self.arrived: dict[tuple[int, int], list[int]] = {}
        self.count = 0
        self.lost = asyncio.Event()

    @classmethod
    async def connect(cls, port: int, subject: str) -> Ledger:
        """What is published to ``subject`` after the return is kept."""
        _, ledger = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        ledger._write(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB %b 1\r\n' % subject.encode())
        await ledger.fence()
        return ledger

    async def fence(self) -> None:
        """Returns when all that NATS had processed before is in the ledger."""
        self._pong.clear()
        self._write(_PING)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self._pong.wait()

    async def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()
        await self.lost.wait()

    def by_sender(self) -> Counter[int]:
        """How many messages of each sender arrived."""
        counts: Counter[int] = Counter()
        for (sender, _), numbers in self.arrived.items():
            counts[sender] += len(numbers)
        return counts

    def check(self, passages: Iterable[Passage]) -> Counter[str]:
        """AssertionError when a passage was told something else than what happened; how many were told what."""
        told: Counter[str] = Counter()
        known = set()
        for passage in passages:
            known.add((passage.sender, passage.number))
            numbers = self.arrived.get((passage.sender, passage.number), [])
            told["sent"] += passage.sent
            told["arrived"] += len(numbers)
            what = f"sender {passage.sender}, passage {passage.number}"
            assert len(numbers) == len(set(numbers)), f"{what}: twice on NATS"
            assert not numbers or max(numbers) < passage.sent, f"{what}: on NATS and never sent"
            if passage.acked:
                told += _check_acks(what, passage, numbers)
            else:
                told += _check_close(what, passage, numbers)
        assert set(self.arrived) <= known
        return told

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while (line := buffer.find(b"\r\n", at)) >= 0:
            start = line + 2
            if buffer.startswith(b"MSG ", at):
                stop = start + int(buffer[at:line].rpartition(b" ")[2])
                if stop + 2 > len(buffer):
                    break
                sender, passage, number, _ = buffer[start : min(stop, start + 40)].split(b" ", 3)
                self.arrived.setdefault((int(sender), int(passage)), []).append(int(number))
                self.count += 1
                start = stop + 2
            elif buffer.startswith(_PING, at):
                self._write(_PONG)
            elif buffer.startswith(_PONG, at):
                self._pong.set()
            else:
                assert buffer.startswith((b"INFO ", _OK), at), bytes(buffer[at:line])
            at = start
        del buffer[:at]

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)


def _check_close(what: str, passage: Passage, numbers: list[int]) -> Counter[str]:
    """A plain WebSocket: the close code is about all of it; what NATS has is the beginning, without a hole."""
    assert numbers == list(range(len(numbers))), f"{what}: out of order, or with a hole"
    if passage.code == 1000:
        assert len(numbers) == passage.sent, f"{what}: 1000, but {len(numbers)} of {passage.sent} are on NATS"
        return Counter({"closed with 1000": 1, "in passages closed with 1000": passage.sent})
    return Counter({f"closed with {passage.code}": 1})


def _check_acks(what: str, passage: Passage, numbers: list[int]) -> Counter[str]:
    """Socket.IO: each message has an answer of its own."""
    there = set(numbers)
    answers = passage.answers
    accepted = [number for number in numbers if answers.get(number) == ""]
    unknown = [number for number in numbers if answers.get(number) != ""]
    missing = [number for number, code in answers.items() if code == "" and number not in there]
    assert not missing, f"{what}: acknowledged and not on NATS: {missing[:10]}"
    refused = [number for number in unknown if number in answers and answers[number] not in UNKNOWN]
    assert not refused, f"{what}: refused and on NATS: {refused[:10]}"
    assert accepted == sorted(accepted), f"{what}: acknowledged ones are out of order"
    assert unknown == sorted(unknown), f"{what}: unconfirmed ones are out of order"
    told = Counter(f"acked {code or 'true'}" for code in answers.values())
    told["unanswered"] = passage.sent - len(answers)
    told["unconfirmed ones that arrived"] = len(unknown)
    told["late: unconfirmed ones behind a newer one"] = sum(
        1 for last, number in zip(_highest(numbers), numbers, strict=True) if number < last
    )
    return told


def _highest(numbers: list[int]) -> Iterable[int]:
    """For each of ``numbers`` the highest up to it."""
    highest = -1
    for number in numbers:
        highest = max(highest, number)
        yield highest

"""A NATS that stands still under full load: senders are held back, memory stays flat, and nothing accepted is lost.

``WSGW_FROZEN_SECONDS=30`` makes the long form.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from helpers.flood import CHUNK_BYTES, Flood
from helpers.gateway import GatewayProcess, StartGateway
from helpers.ledger import PATIENT_SERVER, Ledger, Passage, stamped
from helpers.nats_server import NatsServer, StartNats
from helpers.raw import RawClient
from helpers.raw_websocket import close, text
from helpers.waiting import DEADLINE_SECONDS, eventually

CHANNELS = [{"name": "OUT", "direction": "outbound"}]
#: More than FENCE_TIMEOUT_SECONDS and a round of its check: the gateway gives the connection up meanwhile.
FROZEN_SECONDS = float(os.environ.get("WSGW_FROZEN_SECONDS", "7"))
WEBSOCKETS = 50
SOCKETIOS = 20

# What docs/performance.md promises.
PROCESS_MESSAGES, PROCESS_BYTES = 65_536, 64 * 1024 * 1024
CLIENT_MESSAGES, CLIENT_BYTES = 16_384, 8 * 1024 * 1024
#: What the gateway takes from a socket at a time: a limit is noticed behind it.
READ_BYTES = 256 * 1024

MIB = 1024 * 1024
#: A payload waits as it was read and as a piece of NATS' protocol lines.
COPIES = 2
#: What a message costs beside its payload: its outcome, and for Socket.IO the ack that is due.
MESSAGE_BYTES = 1024
#: What the system takes and does not give back: reads and writes under way, fragmentation, error acks that wait.
ALLOWANCE_BYTES = 64 * MIB
#: "Flat": pages that come and go.
FLAT_BYTES = 8 * MIB

#: Who asks for health gives up after it.
PROBE_SECONDS = 10.0
_IN_FLIGHT = re.compile(r"^wsgw_publishes_in_flight (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """``seconds`` into the freeze: memory, ``wsgw_publishes_in_flight``, what all senders gave to TCP."""

    seconds: float
    resident_bytes: int
    in_flight: float
    sent: int


@pytest.fixture
def nats(start_nats: StartNats) -> NatsServer:
    return start_nats(PATIENT_SERVER)


@pytest.fixture
async def gateway(nats: NatsServer, start_gateway: StartGateway) -> GatewayProcess:
    gateway = start_gateway(nats.url, CHANNELS)
    await gateway.ready()
    return gateway


@pytest.fixture
async def ledger(nats: NatsServer) -> AsyncIterator[Ledger]:
    ledger = await Ledger.connect(nats.port, "OUT")
    yield ledger
    await ledger.close()


async def leave(gateway: GatewayProcess, passage: Passage, size: int) -> None:
    """Send a little and close at once: the answer has to wait for NATS."""
    client = await RawClient.open(gateway, "/ws/OUT")
    try:
        passage.sent = 10
        payloads = [stamped(passage.sender, passage.number, number, size) for number in range(passage.sent)]
        await client.send(*map(text, payloads), close())
        passage.code = await client.closed()
    finally:
        client.close()


async def sampled(gateway: GatewayProcess, flood: Flood, seconds: float) -> list[Sample]:
    """What ``seconds`` look like, once at least; ``/healthz`` and ``/metrics`` have to answer all the time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    samples: list[Sample] = []
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=PROBE_SECONDS) as http:
        while not samples or samples[-1].seconds < seconds:
            flood.check_running()
            assert (await http.get("/healthz")).status_code == 200
            found = _IN_FLIGHT.search((await http.get("/metrics")).text)
            assert found is not None
            samples.append(Sample(loop.time() - began, gateway.resident_bytes(), float(found[1]), flood.sent))
    return samples


def middle(samples: list[Sample]) -> Sample:
    return next(sample for sample in samples if sample.seconds >= samples[-1].seconds / 2)


def held(samples: list[Sample]) -> list[Sample]:
    """The part in which nothing was read from senders: publishes wait, and no more come."""
    most = max(sample.in_flight for sample in samples)
    return [sample for sample in samples if sample.in_flight == most]


def connections(nats: NatsServer) -> int:
    """How many the server has."""
    count: int = httpx.get(f"{nats.monitoring}/connz", trust_env=False).json()["num_connections"]
    return count


def peak_bytes(gateway: GatewayProcess) -> int:
    """The most memory that it ever had (Linux)."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def report(before: int, peak: int, samples: list[Sample], told: Counter[str]) -> None:
    """The figures, for those who look (pytest -s)."""
    print()
    for name, sample in (
        ("first", samples[0]),
        ("middle", middle(samples)),
        ("end", samples[-1]),
    ):
        print(
            f"{name:7} {sample.seconds:5.1f} s: resident {sample.resident_bytes / MIB:6.1f} MiB, "
            f"in flight {sample.in_flight:6.0f}, sent {sample.sent}"
        )
    part = held(samples)
    print(f"held back from {part[0].seconds:.1f} s to {part[-1].seconds:.1f} s, in flight {part[0].in_flight:.0f}")
    print(f"resident at the freeze {before / MIB:.1f} MiB, peak {peak / MIB:.1f} MiB")
    print("".join(f"{count:9} {what}\n" for what, count in sorted(told.items())))


@pytest.mark.parametrize("size", [200, 2048], ids=["messages", "bytes"])
async def test_frozen_under_full_load(nats: NatsServer, gateway: GatewayProcess, ledger: Ledger, size: int) -> None:
    """200 bytes reach the limit of messages, 2048 that of bytes."""

    def flooding(first: int) -> Flood:
        return Flood(gateway.port, "OUT", websockets=WEBSOCKETS, socketios=SOCKETIOS, size=size, first=first)

    async def flowing(flood: Flood, chunks: int) -> None:
        wanted = ledger.count + chunks * len(flood.senders) * CHUNK_BYTES // size
        await eventually(lambda: ledger.count >= wanted, "messages on NATS")

    async with flooding(0) as warming:
        await flowing(warming, 4)
        await warming.stop()
    async with flooding(len(warming.senders)) as flood:
        await flowing(flood, 2)
        nats.freeze()
        before = gateway.resident_bytes()
        leavers = [Passage(2 * len(flood.senders) + number, 0, acked=False) for number in range(5)]
        leaving = asyncio.gather(*(leave(gateway, passage, size) for passage in leavers))
        samples = await sampled(gateway, flood, FROZEN_SECONDS)
        peak = peak_bytes(gateway)
        nats.thaw()
        await gateway.ready()
        await flowing(flood, 2)
        await flood.stop()
        await leaving
    # what was on its way when the gateway gave its connection up has come too, when NATS has forgotten that connection
    await eventually(lambda: connections(nats) == 2, "the gateway and the ledger are all that NATS knows")
    await ledger.fence()
    told = ledger.check([*warming.passages, *flood.passages, *leavers])
    report(before, peak, samples, told)

    assert not ledger.lost.is_set()
    assert told["acked true"] > 0
    assert {passage.code for passage in warming.passages} == {1000}
    # one that was refused before the gateway recovered may be told so only now
    assert sum(passage.code == 1000 for passage in flood.passages if not passage.acked) > WEBSOCKETS / 2
    assert told["acked unconfirmed"] > 0
    assert told["closed with 1013"] >= WEBSOCKETS
    assert {passage.code for passage in leavers} == {1013}
    assert told["acked overloaded"] == 0
    assert gateway.metric("wsgw_publish_errors_total", reason="overloaded") == 0
    assert {passage.code for passage in flood.passages if passage.acked} == {1000}

    part = held(samples)
    # held clients are let go at half of a limit, so it may have been there at the freeze
    assert part[0].in_flight >= 0.45 * min(PROCESS_MESSAGES, PROCESS_BYTES // size)
    # all are held at once; one read of the last one, and of those who only begin to send, goes over it
    assert part[0].in_flight <= 1.5 * PROCESS_MESSAGES
    assert part[0].in_flight * size <= 1.5 * PROCESS_BYTES
    assert len(part) >= 5
    assert part[-1].sent == part[len(part) // 2].sent, "the senders were not held back"
    assert gateway.metric("wsgw_publishes_in_flight") == 0

    messages = min(PROCESS_MESSAGES, PROCESS_BYTES // size)
    reads_bytes = (WEBSOCKETS + SOCKETIOS) * READ_BYTES
    bound = COPIES * (messages * size + reads_bytes) + messages * MESSAGE_BYTES + ALLOWANCE_BYTES
    assert peak - before <= bound
    # flat while they are held; behind that all outcomes are told at once, and one more read of each sender is refused.
    # That may have begun when the last of those samples had its memory read
    assert peak <= middle(part).resident_bytes + reads_bytes + FLAT_BYTES
    assert middle(part).resident_bytes + FLAT_BYTES >= part[-2].resident_bytes


@pytest.mark.parametrize(
    ("websockets", "size", "limit"),
    [(1, 64, CLIENT_MESSAGES), (0, 2048, CLIENT_BYTES // 2048)],
    ids=["websocket-messages", "socketio-bytes"],
)
async def test_one_sender(
    nats: NatsServer, gateway: GatewayProcess, ledger: Ledger, websockets: int, size: int, limit: int
) -> None:
    """A client has limits of its own, far below those of the process."""
    async with Flood(gateway.port, "OUT", websockets=websockets, socketios=1 - websockets, size=size) as flood:
        await eventually(lambda: ledger.count, "messages on NATS")
        nats.freeze()
        seen: list[tuple[float, int]] = []
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(seen) < 5 or not seen[-1][0] or len(set(seen[-5:])) > 1:  # until nothing moves
                sample = (await sampled(gateway, flood, 0))[-1]
                seen.append((sample.in_flight, sample.sent))
        nats.thaw()
        await gateway.ready()
        await flood.stop()
    await ledger.fence()
    told = ledger.check(flood.passages)
    assert limit / 2 <= seen[-1][0] <= limit + READ_BYTES // size
    assert told["acked true"] + told["closed with 1000"] > 0
    assert gateway.metric("wsgw_publish_errors_total", reason="overloaded") == 0

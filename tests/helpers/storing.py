"""What publishes to streams, and a stream to look into."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from nats.js.api import AckPolicy, ConsumerConfig, StorageType

from helpers.peer import Peer
from helpers.waiting import DEADLINE_SECONDS
from wsgw.broker.puback import Receipt, Stored
from wsgw.broker.stored import Storing
from wsgw.channels.durable import Durable
from wsgw.errors import GatewayError

S = Durable("S")


class Told:
    """Collects what becomes of calls, in order of the telling."""

    def __init__(self) -> None:
        self.results: list[list[Receipt] | GatewayError] = []

    def __call__(self, result: list[Receipt] | GatewayError) -> None:
        self.results.append(result)

    @property
    def receipts(self) -> list[Receipt]:
        """Of all calls: an error that is that of a whole one counts once."""
        return [
            receipt for result in self.results for receipt in ([result] if isinstance(result, GatewayError) else result)
        ]

    @property
    def kinds(self) -> list[str]:
        """The errors' names, ``stored`` and ``duplicate``."""
        return [kind_of(receipt) for receipt in self.receipts]

    @property
    def sequences(self) -> list[int]:
        return [receipt.sequence for receipt in self.receipts if isinstance(receipt, Stored)]


def kind_of(receipt: Receipt) -> str:
    if isinstance(receipt, GatewayError):
        return receipt.kind.name
    return "duplicate" if receipt.duplicate else "stored"


async def store(
    storing: Storing,
    *payloads: bytes,
    subject: str = "s",
    durable: Durable = S,
    ids: Sequence[str | None] = (),
    id_prefix: str = "",
) -> list[Receipt]:
    """What becomes of ``payloads``, published together."""
    told: asyncio.Future[list[Receipt] | GatewayError] = asyncio.get_running_loop().create_future()
    storing.publish(durable, subject, payloads or (b"x",), told.set_result, ids, id_prefix)
    result = await asyncio.wait_for(told, DEADLINE_SECONDS)
    return [result] if isinstance(result, GatewayError) else result


async def make_stream(url: str, name: str = "S", subject: str = "s", **config: Any) -> None:
    """A stream in files, which takes ``subject``."""
    peer = await Peer.connect(url)
    await peer.nats.jetstream().add_stream(name=name, subjects=[subject], storage=StorageType.FILE, **config)
    await peer.close()


async def stored(url: str, name: str = "S") -> list[bytes]:
    """The payloads that a stream holds, in order."""
    peer = await Peer.connect(url)
    streams = peer.nats.jetstream()
    left = (await streams.stream_info(name)).state.messages
    payloads: list[bytes] = []
    if left:
        config = ConsumerConfig(ack_policy=AckPolicy.NONE)
        subscription = await streams.subscribe(
            "", stream=name, config=config, pending_bytes_limit=-1, pending_msgs_limit=-1
        )
        while len(payloads) < left:
            payloads.append((await subscription.next_msg(DEADLINE_SECONDS)).data)
    await peer.close()
    return payloads

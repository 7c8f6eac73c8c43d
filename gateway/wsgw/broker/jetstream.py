"""JetStream's API, as much of it as durable channels need: streams and consumers; ``reads`` has stored messages.

Requests and answers are JSON (ADR-1 of github.com/nats-io/nats-architecture-and-design).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from wsgw.broker.broker import Broker
from wsgw.channels.durable import LOCAL_API, Durable
from wsgw.errors import NO_RESPONDERS, STREAM_UNAVAILABLE, TIMEOUT, GatewayError

API_TIMEOUT_SECONDS = 5.0
#: A consumer with nothing to deliver says so this often.
HEARTBEAT_SECONDS = 1.0
#: JetStream forgets ids of messages after that, where a stream does not keep messages for less.
DUPLICATE_WINDOW_SECONDS = 120.0

_STREAM_NOT_FOUND = 10059
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream as it is: ``first`` and ``last`` are sequences (first is last + 1 where it is empty).

    ``deleted`` is how many between them are gone; ``config`` is JetStream's own.
    """

    name: str
    created: str
    first: int
    last: int
    deleted: int
    config: Mapping[str, Any]

    @property
    def allows_direct(self) -> bool:
        """Whether Direct Get is answered."""
        return self.config.get("allow_direct") is True

    def is_all(self, subject: str) -> bool:
        """Whether it takes messages of ``subject``, and no others."""
        config = self.config
        return config.get("subjects") == [subject] and not config.get("mirror") and not config.get("sources")


class JetStream:
    """The API below ``api`` (``$JS.API``). Everything raises GatewayError: stream_unavailable in JetStream's words,
    nats_unavailable, or unconfirmed when the connection is lost meanwhile.
    """

    def __init__(self, broker: Broker, api: str) -> None:
        self._broker = broker
        #: what its subjects begin with, without the last dot
        self.api = api

    async def stream(self, name: str) -> StreamInfo | None:
        """The stream of that name; None where there is none."""
        answer = await self.ask(f"STREAM.INFO.{name}", {}, f"stream {name}", missing=_STREAM_NOT_FOUND)
        return None if answer is None else _info(answer)

    async def create_stream(self, durable: Durable, subject: str) -> StreamInfo:
        """Make the stream that ``durable`` describes, which holds ``subject`` alone."""
        answer = await self.ask(f"STREAM.CREATE.{durable.stream}", wanted(durable, subject), f"stream {durable.stream}")
        assert answer is not None
        return _info(answer)

    async def create_consumer(self, stream: str, subject: str, deliver_to: str, first: int) -> str:
        """Have messages of ``subject`` from the sequence ``first`` on sent to ``deliver_to``; the consumer's name.

        It is ephemeral, and goes by itself when nobody listens to ``deliver_to`` any more.
        """
        name = f"wsgw_{secrets.token_hex(8)}"
        config = {
            "name": name,
            "deliver_subject": deliver_to,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": max(1, first),
            "ack_policy": "none",
            "max_deliver": 1,
            "filter_subject": subject,
            "idle_heartbeat": int(HEARTBEAT_SECONDS * _NANO),
            "flow_control": True,
            "mem_storage": True,
            "num_replicas": 1,
        }
        request = {"stream_name": stream, "config": config}
        await self.ask(f"CONSUMER.CREATE.{stream}.{name}.{subject}", request, f"a consumer of stream {stream}")
        return name

    async def delete_consumer(self, stream: str, name: str) -> None:
        """End a consumer."""
        await self.ask(f"CONSUMER.DELETE.{stream}.{name}", {}, f"consumer {name}")

    async def prove_flow_control(self, stream: str, consumer: str) -> None:
        """Returns when NATS has let the gateway answer to a consumer's flow control; raises GatewayError (forbidden).

        That is asked for when much comes at a time. JetStream ignores this answer.
        """
        told: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()
        self._broker.publish(f"$JS.FC.{stream}.{consumer}.none", [b""], told.set_result)
        error = await asyncio.shield(told)
        if error is not None:
            raise error

    async def ask(
        self, verb: str, request: Mapping[str, Any], what: str, missing: int | None = None
    ) -> dict[str, Any] | None:
        """The answer to any ``verb``; None where it is the error ``missing``. ``what`` is in the words of others."""
        subject = f"{self.api}.{verb}"
        try:
            reply = await self._broker.ask(subject, orjson.dumps(request), API_TIMEOUT_SECONDS)
        except GatewayError as error:
            if error.kind is NO_RESPONDERS:
                raise self.nobody(verb, what) from None
            if error.kind is TIMEOUT:
                reason = f"{what}: JetStream did not answer {subject} within {API_TIMEOUT_SECONDS:g} s"
                raise GatewayError(STREAM_UNAVAILABLE, reason) from None
            raise
        try:
            answer = orjson.loads(reply)
            error_of = answer.get("error")
            if error_of is None:
                return answer  # type: ignore[no-any-return]
            if missing is not None and error_of.get("err_code") == missing:
                return None
            said = f"{error_of.get('description')} ({error_of.get('err_code')})"
        except (ValueError, AttributeError):
            said = f"an answer that is none: {reply[:100]!r}"
        raise GatewayError(STREAM_UNAVAILABLE, f"{what}: JetStream says: {said}")

    def nobody(self, verb: str, what: str) -> GatewayError:
        """The error of an API that nobody is at, as NATS says."""
        if self.api == LOCAL_API:
            return GatewayError(STREAM_UNAVAILABLE, f"{what}: NATS has no JetStream for this account ({self.api})")
        why = "no JetStream is there, or this account does not import it"
        return GatewayError(STREAM_UNAVAILABLE, f"{what}: nobody is at {self.api}.{verb}: {why}")


def wanted(durable: Durable, subject: str) -> dict[str, Any]:
    """The configuration of a stream that the gateway makes, in JetStream's words."""
    return {
        "name": durable.stream,
        "subjects": [subject],
        "retention": "limits",
        "discard": "old",
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_age": int(durable.max_age_seconds * _NANO),
        "max_bytes": durable.max_bytes,
        "num_replicas": durable.replicas,
        "storage": str(durable.storage),
        "allow_direct": True,
        "duplicate_window": int(min(DUPLICATE_WINDOW_SECONDS, durable.max_age_seconds) * _NANO),
    }


#: What a stream must have as configured; the rest (Direct Get, the window for duplicates) is ours to live without.
HELD_TO = (
    "subjects",
    "retention",
    "max_msgs",
    "max_msgs_per_subject",
    "max_age",
    "max_bytes",
    "num_replicas",
    "storage",
)


def difference(durable: Durable, subject: str, info: StreamInfo) -> str | None:
    """How the stream differs from what is configured, in words; None where it does not."""
    want = wanted(durable, subject)
    for key in HELD_TO:
        has = info.config.get(key)
        if has != want[key]:
            return f"stream {info.name} has {key} {_shown(key, has)}, the configuration says {_shown(key, want[key])}"
    return None


def _shown(key: str, value: object) -> str:
    if key == "max_age" and isinstance(value, int):
        return f"{value / _NANO:g} s"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _info(answer: Mapping[str, Any]) -> StreamInfo:
    try:
        state = answer["state"]
        return StreamInfo(
            name=answer["config"]["name"],
            created=answer["created"],
            first=max(1, int(state["first_seq"])),  # 0 where there never was a message
            last=int(state["last_seq"]),
            deleted=int(state.get("num_deleted") or 0),
            config=answer["config"],
        )
    except (LookupError, TypeError, ValueError) as error:
        raise GatewayError(STREAM_UNAVAILABLE, f"JetStream's answer about a stream lacks {error}") from None

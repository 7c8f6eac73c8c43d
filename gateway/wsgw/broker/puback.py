"""What JetStream answers to a message that a stream is to hold (docs.nats.io; server/errors.json of nats-server).

A PubAck ``{"stream":…,"seq":N,"duplicate":true?}``, or ``{"error":{"code":…,"err_code":…,"description":…}}``. NATS
itself answers with the status 503 where nobody listens: no stream, or none that has a leader just now. Sans-I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import orjson

from wsgw.broker.requests import NO_RESPONDERS_STATUS
from wsgw.errors import NOT_STORED, STREAM_FULL, TOO_LARGE, GatewayError, Kind
from wsgw.fanout.publication import Publication

#: What is kept of an error's words.
MAX_SAID_CHARS = 200
#: A longer id is refused: JetStream keeps those of two minutes in memory. A SHA-512 in hex has as many.
MAX_ID_CHARS = 128
_ID = re.compile(rf"[!-~]{{1,{MAX_ID_CHARS}}}")

#: By ``err_code``; others are NOT_STORED. 10023, 10028, 10047: no resources, memory, storage; 10077: what the storage
#: said, such as "maximum bytes exceeded"; 10122, 10053, 10002: limits of stream and account.
_KINDS: dict[int, Kind] = {
    10054: TOO_LARGE,
    **dict.fromkeys((10002, 10023, 10028, 10047, 10053, 10077, 10122), STREAM_FULL),
}
#: What passes: JetStream is not available, the cluster's leader cannot say, an earlier copy is on its way into the
#: stream, too many messages at once.
_PASSING = frozenset({10008, 10009, 10158, 10167})


class Stored(NamedTuple):
    """A message is in its stream, at ``sequence``; ``duplicate`` where one of its id was there already."""

    sequence: int
    duplicate: bool = False

    def as_json(self) -> dict[str, int | bool]:
        """As HTTP bodies and Socket.IO acks carry it."""
        return {"seq": self.sequence, "duplicate": True} if self.duplicate else {"seq": self.sequence}


class NotNow(NamedTuple):
    """It was not stored, and may be when it is sent again; NATS' words."""

    said: str


#: What became of one message.
Receipt = Stored | GatewayError
#: Told once for the messages of one call: a receipt for each of them, in their order; or an error that is that of all.
StoredOutcome = Callable[[list[Receipt] | GatewayError], None]
#: What became of the messages of one call to a channel: as above where a stream holds it; else None when NATS has
#: processed them, or an error (``fences.Outcome``).
PublishResult = list[Receipt] | GatewayError | None
PublishOutcome = Callable[[PublishResult], None]


def id_problem(id: str) -> str | None:
    """Why ``id`` cannot be a message's Nats-Msg-Id; None when it can."""
    if _ID.fullmatch(id):
        return None
    return f"a message's id has 1 to {MAX_ID_CHARS} visible ASCII characters, {id[:MAX_ID_CHARS]!r} has not"


def parse(reply: Publication, stream: str) -> Stored | NotNow | GatewayError | None:
    """What ``reply`` says of a message that is for ``stream``; None where it is no answer of JetStream."""
    payload = reply.payload
    if not payload:
        return NotNow("no stream takes it") if reply.headers.status == NO_RESPONDERS_STATUS else None
    try:
        answer = orjson.loads(payload)
    except ValueError:  # somebody else who listens to the channel's subject, and answers
        return None
    if type(answer) is not dict:
        return None
    error = answer.get("error")
    if error is not None:
        return _refusal(error, stream)
    by, sequence = answer.get("stream"), answer.get("seq")
    if type(by) is not str or type(sequence) is not int or sequence < 1:
        return None
    if by != stream:
        return GatewayError(NOT_STORED, f"the stream {by[:MAX_SAID_CHARS]!r} has stored it, and not {stream!r}")
    return Stored(sequence, answer.get("duplicate") is True)


def _refusal(error: object, stream: str) -> NotNow | GatewayError | None:
    if not isinstance(error, dict) or type(number := error.get("err_code", 0)) is not int:
        return None
    said = str(error.get("description", ""))[:MAX_SAID_CHARS] or f"error {number}"
    if number in _PASSING:
        return NotNow(said)
    return GatewayError(_KINDS.get(number, NOT_STORED), f"the stream {stream!r} refuses it: {said}")

"""Hemera's messages, as nats-hemera 7 (npm) writes and reads them, and what they are about. Sans-I/O.

An act is a JSON object on a NATS subject, which hemera calls the topic::

    {"pattern": {"topic": "math", "cmd": "add", "a": 1, "b": 2}, "meta": {}, "delegate": {},
     "trace": {"traceId": "…", "spanId": "…", "timestamp": 1.5, "service": "math", "method": "cmd:add,topic:math"},
     "request": {"id": "…", "type": "request", "service": "math", "method": "cmd:add,topic:math"}}

Its pattern has, side by side, what chooses an action of a service and what that is given. Nobody answers one of the
type ``pubsub``. The answer to others is such an object with ``result`` (none where the action returned nothing) and
``error`` (null, or ``name``, ``message``, ``stack`` and more) in place of ``pattern``. Fields of a pattern that end
with ``$`` are the caller's own options: it never sends them. The timestamp is in milliseconds since any time; the
method is for people who read logs, and hemera's client has in it what the action is given, too.

Source: ``packages/hemera/lib`` of hemerajs/hemera (extensions, reply, util), which ``tests/integration/test_hemera.py``
asks.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import orjson

from wsgw.channels.subjects import subject_problem
from wsgw.errors import BAD_REQUEST, SERVICE_ERROR, GatewayError

TOPIC = "topic"
#: What a value of a pattern can be that chooses an action.
Value = str | int | float | bool
#: Of a field's name, and of a service's words, in a message.
MAX_FIELD_CHARS, MAX_SAID_CHARS = 64, 200

_OPTION = "$"
_KINDS: dict[type, str] = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Action:
    """What a channel of hemera's is about: the fields of a pattern that its messages have, the topic and ``others``."""

    topic: str
    others: tuple[tuple[str, Value], ...] = ()

    @property
    def fields(self) -> dict[str, Value]:
        """All of them."""
        return {TOPIC: self.topic, **dict(self.others)}


def action_problem(action: Action) -> tuple[str, str] | None:
    """Why ``action`` cannot be: the field and the reason; None when it can."""
    problem = subject_problem(action.topic, wildcards=False)
    if problem is not None:
        return TOPIC, f"topic {action.topic!r} {problem}"
    for name, _ in action.others:
        if name.endswith(_OPTION):
            return name, f"field {name!r} ends with {_OPTION!r}: such are options of hemera's client, and no pattern's"
    return None


class Unlike(Enum):
    """Why a message is not unwrapped."""

    #: it is none of hemera's
    FOREIGN = "foreign"
    #: it is for another action on the topic
    ELSEWHERE = "elsewhere"


class Codec:
    """Wraps what clients send to ``action``, unwraps what comes of it."""

    __slots__ = ("_fields", "_method", "_topic")

    def __init__(self, action: Action) -> None:
        self._topic = action.topic
        self._fields = action.fields
        self._method = ",".join(sorted(f"{name}:{_text(value)}" for name, value in self._fields.items()))

    def wrap(self, payload: bytes, kind: Literal["request", "pubsub"]) -> bytes:
        """An act that gives the fields of the JSON object ``payload``; raises GatewayError (bad_request).

        The channel's own fields may be among them, as they are. A client sets no others that are hemera's.
        """
        given = _object(payload)
        for name in given:
            if name.endswith(_OPTION):
                raise _bad(f"its field {_shown(name)} ends with {_OPTION!r}, as hemera's own options do")
        for name, value in self._fields.items():
            if name in given and not _same(given[name], value):
                raise _bad(f"its field {_shown(name)} is another one than the channel's, and can be left out")
        # one for all three: with what a client asks a trace begins
        id = secrets.token_hex(16)
        called = {"service": self._topic, "method": self._method}
        wrapped = _written(
            {
                "pattern": {**self._fields, **given},
                "meta": {},
                "delegate": {},
                "trace": {"traceId": id, "spanId": id, "timestamp": time.monotonic() * 1000, **called},
                "request": {"id": id, "type": kind, **called},
            }
        )
        if wrapped is None:
            raise _bad("it is nested too deeply")
        return wrapped

    def unwrap(self, message: bytes) -> bytes | Unlike:
        """The pattern of ``message``, as an action has it, options left out."""
        said = _parsed(message)
        if not isinstance(said, dict):
            return Unlike.FOREIGN
        pattern = said.get("pattern")
        if not isinstance(pattern, dict) or not isinstance(said.get("request"), dict):
            return Unlike.FOREIGN
        for name, value in self._fields.items():
            if not _same(pattern.get(name), value):
                return Unlike.ELSEWHERE
        written = _written({name: value for name, value in pattern.items() if not name.endswith(_OPTION)})
        return Unlike.FOREIGN if written is None else written

    def result(self, reply: bytes) -> bytes:
        """What the service returned, as JSON; raises GatewayError (service_error)."""
        said = _parsed(reply)
        if not isinstance(said, dict) or not ("result" in said or "error" in said):
            raise GatewayError(SERVICE_ERROR, f"the reply on {self._topic!r} is none of hemera's")
        error = said.get("error")
        if error is not None:
            raise GatewayError(SERVICE_ERROR, f"the service on {self._topic!r} says: {_words(error)}")
        written = _written(said.get("result"))
        if written is None:
            raise GatewayError(SERVICE_ERROR, f"the reply on {self._topic!r} is nested too deeply")
        return written


# -- inside


def _bad(problem: str) -> GatewayError:
    return GatewayError(
        BAD_REQUEST, f"this channel takes a JSON object, whose fields a service is given; of the payload, {problem}"
    )


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        problem = f"it is no JSON: {error}"
    else:
        if isinstance(value, dict):
            return value
        problem = f"it is {_KINDS[type(value)]}"
    raise _bad(problem)  # not above: it would keep the parser's error, and that the payload


def _parsed(text: bytes) -> Any:
    """None where it is no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _written(value: Any) -> bytes | None:
    """As JSON; None where it is nested deeper than can be written, which is less deep than what can be read."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None


def _same(one: object, other: Value) -> bool:
    """As in JavaScript, where true is no number."""
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(name: str) -> str:
    return repr(name if len(name) <= MAX_FIELD_CHARS else name[:MAX_FIELD_CHARS] + "...")


def _words(error: object) -> str:
    """The name and the message of an error; what else it has, such as its stack, is not for clients."""
    parts = [error.get(key) for key in ("name", "message")] if isinstance(error, dict) else [error]
    said = ": ".join([part for part in parts if isinstance(part, str) and part])
    return (said if len(said) <= MAX_SAID_CHARS else said[:MAX_SAID_CHARS] + "...") or "an error without words"

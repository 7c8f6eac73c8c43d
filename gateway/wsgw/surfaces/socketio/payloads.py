"""From an event's arguments to a payload, and from what became of it to the ack's arguments."""

from __future__ import annotations

import orjson

from wsgw.broker.puback import MAX_ID_CHARS, Receipt
from wsgw.core.outbound import Outlet
from wsgw.errors import BAD_REQUEST, GatewayError
from wsgw.protocols.socketio.arguments import MAX_ARGUMENTS, Argument, Json, Oversized

#: A longer payload is not encoded before it is known that it has no more characters than NATS takes bytes.
LARGE_CHARS = 64 * 1024

#: An object with an id is no longer, however its characters are written; what is, is none.
MAX_ID_OBJECT_CHARS = 64 + 6 * MAX_ID_CHARS

TRUE = Json("true")


def only(args: list[Argument]) -> Argument:
    """The one payload of an event; raises GatewayError (bad_request)."""
    if len(args) != 1:
        most = MAX_ARGUMENTS - 1  # the name is one
        count = f"{most} or more" if len(args) >= most else len(args)
        raise GatewayError(BAD_REQUEST, f"one payload argument is expected, the event has {count}")
    argument = args[0]
    if isinstance(argument, Json) and argument.problem is not None:
        raise GatewayError(BAD_REQUEST, argument.problem)
    return argument


def id_of(args: list[Argument]) -> str | None:
    """The id that the second argument of a message for a stream is, an object of nothing else; None where it is not."""
    argument = args[1]
    if not isinstance(argument, Json) or argument.problem is not None or len(argument.raw) > MAX_ID_OBJECT_CHARS:
        return None
    try:
        value = orjson.loads(argument.raw)
    except orjson.JSONDecodeError:  # a string in it is no Unicode text
        return None
    id = value.get("id") if isinstance(value, dict) and len(value) == 1 else None
    return id if isinstance(id, str) else None


def answer_of(receipt: Receipt) -> tuple[Argument, ...]:
    """The ack's arguments."""
    if isinstance(receipt, GatewayError):
        return (error_of(receipt),)
    return TRUE, Json(orjson.dumps(receipt.as_json()).decode())


def payload_of(argument: Argument, outlet: Outlet) -> bytes:
    """As bytes for NATS; raises GatewayError (too_large) where it is so without a look at what they would be."""
    if isinstance(argument, str):  # nearly all
        text = argument
    elif isinstance(argument, bytes):
        return argument
    elif isinstance(argument, Oversized):
        raise outlet.too_large(argument.size_bytes)
    else:
        text = argument.raw
    if len(text) > LARGE_CHARS:
        outlet.check(text)
    return text.encode()


def size_of(args: list[Argument]) -> int:
    """About how many bytes they are: exactly, where they are ASCII or binary."""
    size = 0
    for argument in args:
        if isinstance(argument, str):
            size += len(argument) if argument.isascii() else len(argument.encode(errors="replace"))
        elif isinstance(argument, bytes):
            size += len(argument)
        elif isinstance(argument, Oversized):
            size += argument.size_bytes
        else:
            size += len(argument.raw)
    return size


def name_of(argument: Argument) -> str:
    """As the name of a channel."""
    if isinstance(argument, bytes):
        return argument.decode(errors="replace")
    if isinstance(argument, Oversized):
        return argument.begin  # which is no channel's
    return argument.raw if isinstance(argument, Json) else argument


def error_of(error: GatewayError) -> Json:
    """As an ack carries it."""
    return Json(orjson.dumps(error.as_json()).decode())

"""The key ``hemera`` of a channel: ``true``, or fields of a pattern."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from wsgw.channels.hemera import TOPIC, Action


def _pattern(value: object) -> object:
    """``true`` is the topic alone, ``false`` is none of hemera's."""
    if isinstance(value, bool):
        return {} if value else None
    if value is None or not isinstance(value, dict):
        raise ValueError("true, or fields of a pattern such as {topic: math, cmd: add}, are expected here")
    return value


def _field(value: object) -> object:
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):  # a bool is an int
        return value
    raise ValueError("a text, a number, true or false is expected here")


def _fields(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is not None and type(value.get(TOPIC, "")) is not str:
        raise ValueError("topic is a NATS subject, so a text is expected there; quotes make one of a number")
    return value


HemeraFields = Annotated[
    dict[str, Annotated[Any, AfterValidator(_field)]] | None, BeforeValidator(_pattern), AfterValidator(_fields)
]


def action_of(fields: dict[str, Any] | None, subject: str) -> Action | None:
    """What ``fields`` say of a channel; where they have no topic, it is the channel's ``subject``."""
    if fields is None:
        return None
    others = tuple((name, value) for name, value in fields.items() if name != TOPIC)
    return Action(fields.get(TOPIC, subject), others)

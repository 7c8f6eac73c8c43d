"""A publication with what is known of it, as one JSON object, and what else such a client is told.

For clients that ask for more than the payload. ``{"id", "channel", "subject", "time", "headers"}`` and the payload as
``json`` (where the channel says that it is), ``text``, or ``base64`` where it is no UTF-8.
"""

from __future__ import annotations

import time
from base64 import b64encode
from datetime import UTC, datetime

import orjson

from wsgw.channels.channel import Channel, Payload
from wsgw.fanout.publication import Publication, StreamPublication


def envelope(channel: Channel, name: str, publication: Publication, *, with_channel: bool = False) -> bytes:
    """``publication`` as a client gets it that subscribed to ``name``; no line end is in it."""
    said: dict[str, object] = {}
    id = publication.id
    if id:
        said["id"] = id
    if with_channel:
        said["channel"] = name
    said["subject"] = publication.subject
    said["time"] = _time(publication)
    if channel.headers:
        shown = {key: publication.headers[key] for key in channel.headers if key in publication.headers}
        if shown:
            said["headers"] = {key: values[0] if len(values) == 1 else values for key, values in shown.items()}
    if channel.payload is Payload.JSON and (value := publication.json) is not None:
        said["json"] = orjson.Fragment(value)
    elif (text := publication.text) is not None:
        said["text"] = text
    else:
        said["base64"] = b64encode(publication.payload).decode("ascii")
    return orjson.dumps(said)


def joined(id: str, *, recovered: bool | None = None) -> bytes:
    """Where the client stands; and whether that is behind what it had, if it said what that was."""
    return orjson.dumps({"event": "joined", "id": id} | ({} if recovered is None else {"recovered": recovered}))


def gap(channels: list[str], missed: int | None) -> bytes:
    """Publications of ``channels`` are missing: ``missed`` of them, where that is known."""
    return orjson.dumps({"event": "gap", "channels": channels, "missed": missed})


def dropped(channel: str, count: int) -> bytes:
    """``count`` publications of ``channel`` were dropped, for the client does not take them fast enough."""
    return orjson.dumps({"event": "dropped", "channel": channel, "dropped": count})


def _time(publication: Publication) -> str:
    """RFC 3339 in UTC: the stream's, or when it came here."""
    if isinstance(publication, StreamPublication):
        seconds, nanoseconds = divmod(publication.stored_at_ns, 1_000_000_000)
        whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{whole}.{nanoseconds:09d}Z"
    moment = time.time() - (time.monotonic() - publication.received_at)
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""What makes a channel durable: the JetStream stream that holds what is published to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from wsgw.channels.subjects import subject_problem

#: What a stream may be called (JetStream allows more, but not in file names of every system).
_STREAM_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
#: A stream remembers ids of messages no longer than the messages.
LEAST_AGE_SECONDS = 60.0
#: What the subjects of JetStream's API begin with, where nothing else is configured.
LOCAL_API = "$JS.API"
_OTHERS = re.compile(r"[^A-Za-z0-9_-]")


class Storage(StrEnum):
    """Where a stream keeps its messages."""

    FILE = "file"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Durable:
    """A stream and how it is to be. One that is not ``managed`` exists already, and is taken as it is.

    ``domain`` (of a leaf node) or ``api_prefix`` (of an import) say where JetStream's API is, ``$JS.API`` without both.
    """

    stream: str
    max_age_seconds: float = 86400.0
    max_bytes: int = 1024**3
    replicas: int = 1
    storage: Storage = Storage.FILE
    managed: bool = True
    domain: str | None = None
    api_prefix: str | None = None

    @property
    def api(self) -> str:
        """What the subjects of JetStream's API begin with, without the last dot."""
        if self.api_prefix is not None:
            return self.api_prefix
        return LOCAL_API if self.domain is None else f"$JS.{self.domain}.API"


def stream_name(channel: str) -> str:
    """The name of the stream of a ``channel`` that names none."""
    return _OTHERS.sub("_", channel)


def durable_problem(durable: Durable) -> tuple[str, str] | None:
    """Why ``durable`` cannot be configured: the key and the reason; None when it can."""
    if durable.max_age_seconds < LEAST_AGE_SECONDS:
        return "max_age", f"max_age is less than {LEAST_AGE_SECONDS:g} s, in which a message may be published again"
    if not _STREAM_NAME.fullmatch(durable.stream):
        return "stream", f"stream {durable.stream!r} is not a name of letters, digits, - and _"
    if durable.domain is not None and durable.api_prefix is not None:
        return "domain", "domain and api_prefix are two ways to say the same; only one of them can be given"
    if durable.domain is not None and not _STREAM_NAME.fullmatch(durable.domain):
        return "domain", f"domain {durable.domain!r} is not a name of letters, digits, - and _"
    if durable.api_prefix is not None:
        problem = subject_problem(durable.api_prefix, wildcards=False)
        if problem is not None:
            return "api_prefix", f"api_prefix {durable.api_prefix!r} {problem}"
    return None

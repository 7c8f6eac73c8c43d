"""By which of the settings NATS is told who the gateway is: by one of them, so that nobody has to guess."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from wsgw.config.nats import NatsSettings

_FILES = ("credentials_file", "nkey_seed_file")
#: The later one of two is named as wrong, with where it is from: files come by no environment, the others may.
_WAYS = (*_FILES, "token", "user")

Problem = tuple[tuple[str, ...], str]


def contradictions(nats: NatsSettings) -> Iterator[Problem]:
    """Keys below ``nats``, and why they do not go with another one."""
    given = _given(nats)
    for name in given[1:]:
        yield (name,), f"it and {given[0]!r} are two ways to say who the gateway is; leave one of them out"
    for name in given:
        if name in _FILES and _with_user(nats):
            yield (name,), "it and a user in nats.servers are two ways to say who the gateway is; leave one of them out"


def unused(nats: NatsSettings) -> Iterator[Problem]:
    """Keys that no server is told of, and why. That is no error: settings of one source may stand above another's."""
    if nats.password is not None and nats.user is None:
        yield ("password",), "it is not used without 'user'"
    if len(_with_user(nats)) == len(nats.servers):
        for name in _given(nats):
            yield (name,), "it is not used: each URL in nats.servers says who the gateway is"


def _given(nats: NatsSettings) -> list[str]:
    return [name for name in _WAYS if getattr(nats, name) is not None]


def _with_user(nats: NatsSettings) -> list[str]:
    """URLs that say themselves who the gateway is."""
    return [url for url in nats.servers if "@" in urlsplit(url).netloc]

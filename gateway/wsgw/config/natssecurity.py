"""What is wrong with the files that the settings of NATS name, and with their combination."""

from __future__ import annotations

from collections.abc import Iterator

from wsgw.config.nats import NatsSettings
from wsgw.config.natsfiles import BadFileError
from wsgw.config.natsidentity import CREDENTIALS_FILE, NKEY_SEED_FILE, of_credentials, of_nkey
from wsgw.config.natstls import overdue_of

_OTHERS = ("user", "password", "token")


def problems(nats: NatsSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Keys below ``nats``, and reasons. What is overdue is a problem, too: NATS would not take it."""
    yield from _combined(nats)
    tls = nats.tls
    if tls is not None:
        for name, other in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
            if getattr(tls, name) is not None and getattr(tls, other) is None:
                yield ("tls", name), f"{other} is needed with it"
        try:
            overdue = overdue_of(tls.files())
        except BadFileError as bad:
            overdue = [bad]
        for error in overdue:
            yield tuple(error.key.split(".")), str(error)
    for name, read in ((CREDENTIALS_FILE, of_credentials), (NKEY_SEED_FILE, of_nkey)):
        path = getattr(nats, name)
        if path is not None:
            try:
                late = read(path).overdue
            except BadFileError as bad:
                late = bad
            if late is not None:
                yield (name,), str(late)


def _combined(nats: NatsSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """A user is one of these; which one NATS would be shown nobody has to guess."""
    shown = [name for name in (CREDENTIALS_FILE, NKEY_SEED_FILE) if getattr(nats, name) is not None]
    for name in shown[:1]:
        other = next((each for each in (*_OTHERS, *shown[1:]) if getattr(nats, each) is not None), None)
        if other is not None:
            yield (name,), f"and {other!r} are two ways to say who the gateway is; leave one of them out"

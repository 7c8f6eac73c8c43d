"""What is wrong with the files that the settings of NATS name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from wsgw.config.nats import NatsSettings
from wsgw.config.natsfiles import BadFileError
from wsgw.config.natsidentity import of_credentials, of_nkey
from wsgw.config.natstls import overdue_of

Problem = tuple[tuple[str, ...], str]


def problems(nats: NatsSettings) -> Iterator[Problem]:
    """Keys below ``nats``, and reasons."""
    tls = nats.tls
    if tls is not None:
        for name, other in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
            if getattr(tls, name) is not None and getattr(tls, other) is None:
                yield ("tls", name), f"{other} is needed with it"
    yield from _told(_read(nats)[0])


def overdue(nats: NatsSettings) -> Iterator[Problem]:
    """The same of what has expired, or is not good yet.

    That is no fault of the settings: a clock may be wrong, or somebody about to renew it, and it is read again for each
    connection. Nor is a gateway kept from taking over other settings by it.
    """
    yield from _told(_read(nats)[1])


def _read(nats: NatsSettings) -> tuple[list[BadFileError], list[BadFileError]]:
    """What is of no use, and what is overdue."""
    reads: list[Callable[[], list[BadFileError]]] = []
    if nats.tls is not None:
        reads.append(partial(overdue_of, nats.tls.files()))
    if nats.credentials_file is not None:
        reads.append(partial(_overdue_jwt, nats.credentials_file))
    if nats.nkey_seed_file is not None:
        reads.append(partial(_overdue_nkey, nats.nkey_seed_file))
    bad: list[BadFileError] = []
    late: list[BadFileError] = []
    for read in reads:
        try:
            late += read()
        except BadFileError as error:
            bad.append(error)
    return bad, late


def _overdue_jwt(path: str) -> list[BadFileError]:
    error = of_credentials(path).overdue
    return [] if error is None else [error]


def _overdue_nkey(path: str) -> list[BadFileError]:
    of_nkey(path)
    return []  # a key has no end


def _told(errors: Iterable[BadFileError]) -> Iterator[Problem]:
    for error in errors:
        yield tuple(error.key.split(".")), str(error)

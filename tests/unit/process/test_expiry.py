"""Until when certificates are good: what the metrics have, and how often the log says it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from helpers.authority import Authority
from helpers.certificates import Pair
from helpers.metrics import value
from helpers.threads import no_threads
from helpers.waiting import arrived, eventually
from wsgw.config.listening import TlsSettings
from wsgw.config.natsfiles import TlsFiles
from wsgw.metrics import Metrics
from wsgw.process import expiry as module
from wsgw.process.certificates import Certificates
from wsgw.process.expiry import DAY_SECONDS, Expiry

NAME = "wsgw_certificate_expires_timestamp_seconds"


class Clock:
    """A day at a time; ``looks`` grows with each certificate that was looked at, be it good or not."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).timestamp()
        self.looks: list[object] = []

    def __call__(self) -> float:
        self.looks.append(None)
        return self.now

    async def looked(self) -> None:
        """Returns when a look that begins from now on is over."""
        await arrived(self.looks, len(self.looks) + 4)  # two of NATS' certificate, which the reader counts, too


Start = Callable[[Certificates | None, TlsFiles | None], Metrics]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "wsgw")
    made, ends_of = Clock(), module._ends_of

    def reading(files: TlsFiles) -> datetime:
        try:
            return ends_of(files)
        finally:
            made.looks.append(files)

    monkeypatch.setattr(module, "_ends_of", reading)
    return made


@pytest.fixture
async def start(clock: Clock) -> AsyncIterator[Start]:
    made: list[Expiry] = []

    def start(certificates: Certificates | None, nats: TlsFiles | None) -> Metrics:
        metrics = Metrics()
        made.append(Expiry(metrics, certificates, nats, clock))
        made[-1].start()
        return metrics

    yield start
    for each in made:
        await each.stop()


def end_of(path: Path) -> float:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Without the time at which it ends."""
    return [re.split(",? on 20", record.message)[0] for record in caplog.records if record.levelno == logging.WARNING]


async def test_of_clients(start: Start, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is in use, and a word a day once it ends soon; another one for another certificate."""
    pair = Pair(tmp_path)
    pair.make(days=15.5)
    certificates = Certificates(TlsSettings(**pair.settings))
    metrics = start(certificates, None)
    certificates.start()
    assert value(metrics, NAME, certificate="clients") == end_of(pair.certificate)
    await clock.looked()
    assert warnings(caplog) == []
    clock.now += 2 * DAY_SECONDS
    await eventually(lambda: warnings(caplog), "the first warning")
    clock.now += DAY_SECONDS - 60
    await clock.looked()
    assert warnings(caplog) == ["tls.certificate_file: the certificate expires in 13 days"]
    clock.now += 61
    await eventually(lambda: warnings(caplog)[1:], "a day later")
    assert warnings(caplog)[1:] == ["tls.certificate_file: the certificate expires in 12 days"]
    pair.make(days=6.5)
    certificates.request()
    await eventually(lambda: warnings(caplog)[2:], "of another one")
    assert warnings(caplog)[2:] == ["tls.certificate_file: the certificate expires in 3 days"]
    assert value(metrics, NAME, certificate="clients") == end_of(pair.certificate)
    pair.make(days=100)
    certificates.request()
    await eventually(lambda: value(metrics, NAME, certificate="clients") == end_of(pair.certificate), "it is renewed")
    clock.now += 2 * DAY_SECONDS
    await clock.looked()
    assert len(warnings(caplog)) == 3
    await certificates.stop()


async def test_of_nats(start: Start, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is in the file; while that is none, what was."""
    ca = Authority(tmp_path)
    certificate, key = ca.issue("client", days=1)
    metrics = start(None, TlsFiles(str(ca.file), str(certificate), str(key)))
    await eventually(lambda: warnings(caplog), "a warning")
    assert warnings(caplog) == ["nats.tls.certificate_file: the certificate expires in 0 days"]
    first = end_of(certificate)
    assert value(metrics, NAME, certificate="nats") == first
    certificate.write_text("garbage")
    await clock.looked()
    clock.now += 2 * DAY_SECONDS
    await clock.looked()
    assert value(metrics, NAME, certificate="nats") == first
    ca.issue("client", days=1)
    await eventually(lambda: warnings(caplog)[1:], "it has expired")
    assert warnings(caplog)[1:] == ["nats.tls.certificate_file: the certificate has expired"]
    ca.issue("client", days=90)
    await eventually(lambda: value(metrics, NAME, certificate="nats") == end_of(certificate) != first, "a new one")
    clock.now += 2 * DAY_SECONDS
    await clock.looked()
    assert len(warnings(caplog)) == 2


async def test_where_there_is_no_thread_to_look(start: Start, clock: Clock, tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    certificate, key = ca.issue("client", days=90)
    metrics = start(None, TlsFiles(str(ca.file), str(certificate), str(key)))
    await clock.looked()
    with no_threads() as refused:
        await arrived(refused, 2)
    ca.issue("client", days=91)
    await eventually(lambda: value(metrics, NAME, certificate="nats") == end_of(certificate), "it looks again")


@pytest.mark.parametrize("nats", [None, TlsFiles()])
async def test_where_there_is_none(start: Start, nats: TlsFiles | None) -> None:
    metrics = start(None, nats)
    assert f"\n{NAME}".encode() not in metrics.exposition()
    assert not [task for task in asyncio.all_tasks() if "certificates" in task.get_name()]

"""Until when certificates are good: what the metrics have, and how often the log says it."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from helpers.authority import Authority
from helpers.certificates import Pair
from helpers.metrics import value
from helpers.nkeys import Operator
from helpers.threads import no_threads
from helpers.waiting import arrived, eventually
from wsgw.config.listening import TlsSettings
from wsgw.config.nats import NatsSettings, NatsTlsSettings
from wsgw.config.natsfiles import BadFileError
from wsgw.config.term import Term
from wsgw.metrics import Metrics
from wsgw.process import expiry as module
from wsgw.process.certificates import Certificates
from wsgw.process.expiry import DAY_SECONDS, Expiry

NAME = "wsgw_certificate_expires_timestamp_seconds"


#: Of NATS there is nothing.
NOTHING = NatsSettings()


def certificate_in(path: Path) -> NatsSettings:
    return NatsSettings(tls=NatsTlsSettings(certificate_file=str(path), key_file="not read"))


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


Start = Callable[[Certificates | None, NatsSettings], Metrics]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "wsgw")
    made = Clock()

    def counted(read: Callable[[str], Term]) -> Callable[[str], Term]:
        def reading(path: str) -> Term:
            try:
                return read(path)
            finally:
                made.looks.append(path)

        return reading

    for name in ("_term_of_certificate", "_term_of_jwt"):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return made


@pytest.fixture
async def start(clock: Clock) -> AsyncIterator[Start]:
    made: list[Expiry] = []

    def start(certificates: Certificates | None, nats: NatsSettings) -> Metrics:
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
    metrics = start(certificates, NOTHING)
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
    certificate, _ = ca.issue("client", days=1)
    clock.now += DAY_SECONDS / 2
    metrics = start(None, certificate_in(certificate))
    await eventually(lambda: warnings(caplog), "a warning")
    assert warnings(caplog) == ["nats.tls.certificate_file: the certificate expires in 11 hours"]
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
    certificate, _ = ca.issue("client", days=90)
    metrics = start(None, certificate_in(certificate))
    await clock.looked()
    with no_threads() as refused:
        await arrived(refused, 2)
    ca.issue("client", days=91)
    await eventually(lambda: value(metrics, NAME, certificate="nats") == end_of(certificate), "it looks again")


async def test_of_the_user_in_nats(
    start: Start, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A JWT for an hour, as a program renews it each half: no warning; one without an end is not in the metrics."""
    operator, path, hour = Operator(), tmp_path / "a.creds", 3600
    begins = int(clock.now)

    def renewed(**claims: int) -> None:
        operator.credentials(path, iat=int(clock.now), **claims)

    renewed(exp=begins + hour)
    metrics = start(None, NatsSettings(credentials_file=str(path)))
    await eventually(lambda: value(metrics, NAME, certificate="nats_user") == begins + hour, "its end")
    clock.now += hour / 2
    await clock.looked()
    renewed(exp=begins + 2 * hour)
    await eventually(lambda: value(metrics, NAME, certificate="nats_user") == begins + 2 * hour, "the next one's")
    assert warnings(caplog) == []
    clock.now += 1.325 * hour
    await eventually(lambda: warnings(caplog), "nobody has renewed it")
    clock.now += hour
    await eventually(lambda: warnings(caplog)[1:], "it has expired, on the same day")
    assert warnings(caplog) == [
        "nats.credentials_file: the JWT expires in 10 minutes",
        "nats.credentials_file: the JWT has expired",
    ]
    renewed()
    await eventually(lambda: f"\n{NAME}{{".encode() not in metrics.exposition(), "it has no end")
    assert len(warnings(caplog)) == 2


async def test_a_disk_that_does_not_answer_holds_up_its_own_file_only(
    start: Start, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = threading.Event()
    reading: list[str] = []

    def hangs(path: str) -> Term:
        reading.append(path)
        answers.wait()
        raise BadFileError("tls.certificate_file", path, "is not read any more")

    monkeypatch.setattr(module, "_term_of_certificate", hangs)
    pair = Pair(tmp_path)
    pair.make(days=15.5)
    start(Certificates(TlsSettings(**pair.settings)), certificate_in(tmp_path / "there"))
    await arrived(reading, 1)
    clock.now += 2 * DAY_SECONDS
    await eventually(lambda: warnings(caplog), "a warning of the other one")
    assert len(reading) == 1
    answers.set()


@pytest.mark.parametrize("nats", [NOTHING, NatsSettings(tls=NatsTlsSettings())])
async def test_where_there_is_none(start: Start, nats: NatsSettings) -> None:
    metrics = start(None, nats)
    assert f"\n{NAME}".encode() not in metrics.exposition()
    assert not [task for task in asyncio.all_tasks() if "certificates" in task.get_name()]

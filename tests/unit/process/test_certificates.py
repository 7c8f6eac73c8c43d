"""The certificate read again: when, with which words, and what cannot be used."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from helpers.certificates import Pair, blind
from helpers.threads import no_threads
from helpers.waiting import arrived, eventually
from wsgw.config.listening import TlsSettings
from wsgw.config.load import load
from wsgw.errors import ConfigError
from wsgw.process import certificates as module
from wsgw.process import watch
from wsgw.process.certificates import Certificates
from wsgw.process.reloader import Reloader


@pytest.fixture
def pair(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Pair:
    caplog.set_level(logging.INFO, "wsgw")
    return Pair(tmp_path)


@pytest.fixture
async def made(pair: Pair) -> AsyncIterator[Certificates]:
    made = Certificates(TlsSettings(**pair.settings))
    made.start()
    yield made
    await made.stop()
    # a look that was under way ends by itself
    await eventually(lambda: not [each for each in threading.enumerate() if "certificate" in each.name], "no thread")


def shaken(context: ssl.SSLContext, by: ssl.SSLContext) -> ssl.SSLObject:
    """A client of ``by`` whose handshake with ``context`` is done, in memory; it names no host."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = by.wrap_bio(back, there)
    server = context.wrap_bio(there, back, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client


def shown(context: ssl.SSLContext) -> bytes | None:
    """The certificate that a client sees."""
    return shaken(context, blind()).getpeercert(True)


@pytest.mark.parametrize("name", [b"\xff\xfe\n\x1b[31mnone", b"nobody.local"], ids=["of odd bytes", "unknown"])
def test_whatever_name_is_asked_for(pair: Pair, capfd: pytest.CaptureFixture[str], name: bytes) -> None:
    """The handshake goes on, and nothing is printed: Python's callback for names would have said where it stands."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = blind().wrap_bio(back, there, server_hostname="x" * len(name))
    server = Certificates(TlsSettings(**pair.settings)).context.wrap_bio(there, back, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = there.read()
    assert b"x" * len(name) in hello
    there.write(hello.replace(b"x" * len(name), name))
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    assert back.pending > 500, "its certificate"
    assert capfd.readouterr().err == ""


def resumed(context: ssl.SSLContext, by: ssl.SSLContext, session: ssl.SSLSession) -> bool:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = by.wrap_bio(back, there, session=session)
    server = context.wrap_bio(there, back, server_side=True)
    for side in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return bool(client.session_reused)


async def test_sessions_go_on_until_the_certificate_is_another(made: Certificates, pair: Pair) -> None:
    """Clients see the new one, and what sessions are sealed with does not stay for ever."""
    by = blind()
    by.maximum_version = ssl.TLSVersion.TLSv1_2  # its sessions are there when the handshake is
    session = shaken(made.context, by).session
    assert session is not None
    assert resumed(made.context, by, session)
    before = made.context
    pair.make()
    made.request()
    await eventually(lambda: made.context is not before, "another one")
    assert not resumed(made.context, by, session)


async def test_when_asked_or_changed(made: Certificates, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    for ask in (True, False):
        before = shown(made.context)
        pair.make()
        if ask:
            made.request()
        await eventually(lambda before=before: shown(made.context) != before, "another one")  # type: ignore[misc]
    assert caplog.text.count("TLS: certificate read again: localhost, 127.0.0.1, valid until") == 2


async def test_a_file_that_is_being_written_is_left_alone(
    made: Certificates, pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)
    looks: list[int] = []

    def changing(_: TlsSettings) -> object:
        looks.append(len(looks))
        return looks[-1] if not quiet else -1

    quiet: list[bool] = []
    monkeypatch.setattr(module, "_look", changing)
    made.request()  # ends the wait of a whole second
    await eventually(lambda: caplog.text.count("read again") == 1, "it is read")
    await arrived(looks, len(looks) + 10)
    assert caplog.text.count("read again") == 1
    quiet.append(True)
    await eventually(lambda: caplog.text.count("read again") == 2, "now it is read")


async def test_what_cannot_be_used(made: Certificates, pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    before = shown(made.context)
    pair.key.unlink()
    made.request()
    await eventually(lambda: "the one before stays: tls.key_file: " in caplog.text, "it is said")
    assert shown(made.context) == before


async def test_a_fault_ends_nothing(
    made: Certificates, pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "certificate_of", lambda _: 1 / 0)
        made.request()
        await eventually(lambda: "the one before stays: a fault" in caplog.text, "it is said")
    made.request()
    await eventually(lambda: "TLS: certificate read again" in caplog.text, "it goes on")


async def test_where_there_is_no_thread_to_look(
    made: Certificates, pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.02)
    made.request()  # ends the wait of a whole second
    await eventually(lambda: "TLS: certificate read again" in caplog.text, "it is read")
    with no_threads() as refused:
        await arrived(refused, 3)
    before = shown(made.context)
    pair.make()
    await eventually(lambda: shown(made.context) != before, "it looks again")
    assert "read again," not in caplog.text


async def test_where_there_is_no_thread_to_read_it(
    made: Certificates, pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is read as soon as there is one, though nothing has changed since."""
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.02)
    with no_threads() as refused:
        made.request()
        await arrived(refused, 3)
    await eventually(lambda: "TLS: certificate read again" in caplog.text, "it is read")
    assert "the one before stays until there is a thread for it: looking at the certificate: can't" in caplog.text


def test_what_openssl_does_not_take(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(ssl.SSLContext):
        def load_cert_chain(self, *_: object, **__: object) -> None:
            error = ssl.SSLError(1, "[SSL: EE_KEY_TOO_SMALL] ee key too small")
            error.reason = "EE_KEY_TOO_SMALL"
            raise error

    monkeypatch.setattr(module, "_new_context", lambda: Strict(ssl.PROTOCOL_TLS_SERVER))
    with pytest.raises(ConfigError, match=r"^tls\.certificate_file: .*certificate\.pem: ee key too small"):
        Certificates(TlsSettings(**pair.settings))


def test_the_least_version(pair: Pair) -> None:
    context = Certificates(TlsSettings(**pair.settings)).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize("first", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_clients_choose_the_cipher(pair: Pair, first: str) -> None:
    client = blind()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(f"{first}:ECDHE-ECDSA-AES256-GCM-SHA384")
    cipher = shaken(Certificates(TlsSettings(**pair.settings)).context, client).cipher()
    assert cipher is not None
    assert cipher[0] == first


def test_what_is_spoken_within(pair: Pair) -> None:
    """By ALPN (RFC 7301), where a client offers more than what is spoken here."""
    client = blind()
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert shaken(Certificates(TlsSettings(**pair.settings)).context, client).selected_alpn_protocol() == "http/1.1"


async def test_sighup_without_a_configuration_file(made: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    reloader = Reloader(load({}, {}), None)
    reloader.certificates = made
    reloader.request()
    await eventually(lambda: "TLS: certificate read again" in caplog.text, "it is read")
    assert "nothing changes" not in caplog.text
    await asyncio.sleep(0)

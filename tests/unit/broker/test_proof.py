"""What a connection is made with, read from its files. (What is in them: config/test_natstls, _natsidentity.)"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from helpers.authority import Authority
from helpers.nkeys import USER, Nkey, Operator
from helpers.threads import no_threads
from helpers.waiting import eventually
from wsgw.broker.proof import MOST_READING, Proof, read_proof
from wsgw.broker.subscription import Credentials
from wsgw.config.natsfiles import BadFileError, TlsFiles


async def test_where_nothing_is_asked_for_nothing_is_read() -> None:
    assert await read_proof(Credentials("a", "b"), "nats") == Proof()


async def test_tls_verifies(tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    certificate, key = ca.issue("client")
    files = TlsFiles(str(ca.file), str(certificate), str(key))
    for credentials, scheme in ((Credentials(tls=files), "nats"), (Credentials(), "tls"), (Credentials(), "tls")):
        proof = await read_proof(credentials, scheme)
        assert proof.context is not None
        assert proof.context.verify_mode == ssl.CERT_REQUIRED
        assert proof.context.check_hostname
        assert proof.context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert proof.identity is None
        assert proof.overdue == ()
    (trusted,) = (await read_proof(Credentials(tls=files), "nats")).context.get_ca_certs()  # type: ignore[union-attr]
    assert int(str(trusted["serialNumber"]), 16) == ca.certificate.serial_number, "no other one"


@pytest.mark.parametrize("newer", [False, True], ids=["older", "newer"])
async def test_what_is_good_does_not_depend_on_the_version_of_python(
    newer: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CA does not say what its key is for. And who names a server's own certificate trusts that."""
    if newer:
        made = ssl.create_default_context

        def strict(**options: str | None) -> ssl.SSLContext:
            context = made(**options)  # type: ignore[arg-type]
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            return context

        monkeypatch.setattr(ssl, "create_default_context", strict)
    ca = Authority(tmp_path, bare=True)
    certificate, key = ca.issue("server", "localhost")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving)
    port = server.sockets[0].getsockname()[1]
    for trusted in (ca.file, certificate):
        context = (await read_proof(Credentials(tls=TlsFiles(str(trusted))), "nats")).context
        assert context is not None
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="other")
    other = Authority(tmp_path, "other")
    context = (await read_proof(Credentials(tls=TlsFiles(str(other.file))), "nats")).context
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    server.close()
    await server.wait_closed()


async def test_who_the_gateway_is(tmp_path: Path) -> None:
    user = Nkey(USER)
    seed = tmp_path / "seed"
    seed.write_text(user.seed)
    identity = (await read_proof(Credentials(nkey_seed_file=str(seed)), "nats")).identity
    assert identity is not None
    assert (identity.public_key, identity.jwt) == (user.public, None)
    creds = Operator().credentials(tmp_path / "a.creds")
    identity = (await read_proof(Credentials(credentials_file=str(creds)), "nats")).identity
    assert identity is not None
    assert identity.jwt is not None


async def test_what_is_overdue_is_told_of(tmp_path: Path) -> None:
    """And read: this clock may be the one that is wrong."""
    certificate, key = Authority(tmp_path).issue("client", days=-1)
    creds = Operator().credentials(tmp_path / "a.creds", exp=int(time.time()) - 5)
    files = TlsFiles(None, str(certificate), str(key))
    proof = await read_proof(Credentials(credentials_file=str(creds), tls=files), "nats")
    first, second = proof.overdue
    assert first.startswith(f"nats.tls.certificate_file: {certificate}: the certificate expired on")
    assert second.startswith(f"nats.credentials_file: {creds}: the JWT expired on")


async def test_what_is_of_no_use(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="nowhere: No such file"):
        await read_proof(Credentials(nkey_seed_file="nowhere"), "nats")
    with pytest.raises(BadFileError, match="nowhere: No such file"):
        await read_proof(Credentials(tls=TlsFiles("nowhere")), "nats")


async def test_a_disk_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads that hang are few, however often it is tried; when they end it is tried again."""
    path = tmp_path / "user.nk"
    path.write_text("not yet")
    answers = threading.Event()
    system_open = os.open

    def hanging(wanted: str, *arguments: int) -> int:
        if wanted == str(path):
            answers.wait()
        return system_open(wanted, *arguments)

    monkeypatch.setattr(os, "open", hanging)
    credentials = Credentials(nkey_seed_file=str(path))

    def reading() -> int:
        return sum(thread.name == "nats: reading files" for thread in threading.enumerate())

    await eventually(lambda: not reading(), "the end of those of other tests")
    tries = [asyncio.ensure_future(read_proof(credentials, "nats")) for _ in range(MOST_READING)]
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(OSError, match="still being read"):
            await read_proof(credentials, "nats")
    assert reading() == MOST_READING
    tries.pop().cancel()
    answers.set()
    await eventually(lambda: not reading(), "the end of all")
    await asyncio.wait(tries)
    assert {type(each.exception()) for each in tries} == {BadFileError}
    path.write_text(Nkey(USER).seed)
    assert (await read_proof(credentials, "nats")).identity is not None


async def test_where_there_is_no_thread_for_it(tmp_path: Path) -> None:
    """However often it is tried, it is read when there is one."""
    path = tmp_path / "user.nk"
    path.write_text(Nkey(USER).seed)
    credentials = Credentials(nkey_seed_file=str(path))
    with no_threads():
        for _ in range(2 * MOST_READING):
            with pytest.raises(OSError, match="nats: reading files: can't start new thread"):
                await read_proof(credentials, "nats")
    assert (await read_proof(credentials, "nats")).identity is not None


async def test_what_openssl_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that it finds too small: what only it can say is told as what we find ourselves."""
    small = rsa.generate_private_key(65537, 1024)
    name = x509.Name([])
    now = x509.load_pem_x509_certificate(Authority(tmp_path).file.read_bytes())
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(small.public_key())
    builder = builder.serial_number(1).not_valid_before(now.not_valid_before_utc)
    builder = builder.not_valid_after(now.not_valid_after_utc)
    certificate, key = tmp_path / "small.crt", tmp_path / "small.key"
    certificate.write_bytes(builder.sign(small, now.signature_hash_algorithm).public_bytes(Encoding.PEM))  # type: ignore[arg-type]
    key.write_bytes(small.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(BadFileError) as caught:
        await read_proof(Credentials(tls=TlsFiles(None, str(certificate), str(key))), "nats")
    assert caught.value.said == (f"nats.tls.certificate_file: {certificate}: OpenSSL cannot use it: EE_KEY_TOO_SMALL")

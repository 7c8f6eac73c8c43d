"""Connecting to real servers by certificates, credentials and nkeys: what they take, and what is said of the rest."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.authority import Authority
from helpers.connection import Opened, publish
from helpers.nats_server import NatsServer
from helpers.nkeys import USER, Nkey, Operator
from wsgw.broker.connection import NatsConnection
from wsgw.broker.handshake import Handshake
from wsgw.broker.refusal import NeedsChange
from wsgw.broker.servers import Servers
from wsgw.broker.subscription import Credentials
from wsgw.config.natsfiles import TlsFiles
from wsgw.fanout.turn import Turn

from .conftest import FakeServer

Start = Callable[[str], NatsServer]


class Files:
    """A CA and what it signed; ``of`` is a client's settings with the certificate of that name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = Authority(folder)
        self.server = self.ca.issue("server", "localhost")
        self.ca.issue("client")
        self.ca.issue("old", days=-1)
        Authority(folder, "other").issue("stranger")

    def of(self, name: str | None, *, first: bool = False) -> Credentials:
        crt, key = [None if name is None else f"{self.folder}/{name}.{end}" for end in ("crt", "key")]
        return Credentials(tls=TlsFiles(str(self.ca.file), crt, key, first))

    def configuration(self, more: str = "", behind: str = "", certificate: tuple[Path, Path] | None = None) -> str:
        crt, key = certificate or self.server
        return f'tls {{cert_file: "{crt}", key_file: "{key}", ca_file: "{self.ca.file}", {more} }}\n{behind}'


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def at(server: NatsServer, scheme: str = "nats") -> str:
    """By the name that certificates are for."""
    return f"{scheme}://localhost:{server.port}"


def is_secure(connection: NatsConnection) -> bool:
    stream = connection._client._stream
    assert stream is not None
    return stream._transport.get_extra_info("ssl_object") is not None


async def refused(url: str, credentials: Credentials, *, permanent: bool = True) -> str:
    """What is said, in the end: the reason is lost where the server goes before we write; then once more."""
    connection = NatsConnection(lambda: None, Turn(asyncio.get_running_loop().call_soon))
    with pytest.raises(OSError) as caught:
        await connection.open(url, credentials, "test", 5)
    if "NATS may have refused the credentials or the certificate" in str(caught.value):
        return await refused(url, credentials, permanent=permanent)
    assert isinstance(caught.value, NeedsChange) == permanent, caught.value
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_servers_with_tls(start_server: Start, open_connection: Opened, files: Files, scheme: str) -> None:
    server = start_server(files.configuration())
    connection = await open_connection(at(server, scheme), files.of(None))
    assert is_secure(connection)
    assert await publish(connection, "a") is None
    said = await refused(at(server, "tls"), Credentials())
    assert "unable to get local issuer" in said
    assert "one of the CAs of the system" in said


async def test_nothing_is_left_to_the_collector(start_server: Start, files: Files, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.write_text(Nkey(USER).seed)
    server = start_server(files.configuration())
    gc.collect()
    gc.disable()
    try:
        handshake = Handshake(lambda error: None)
        made = weakref.ref(handshake)
        tcp = await handshake.run(at(server), replace(files.of("client"), nkey_seed_file=str(seed)), "test", 5)
        del handshake
        await asyncio.sleep(0)
        assert made() is None
        assert tcp._io_writer is not None
        tcp._io_writer.transport.abort()
    finally:
        gc.enable()


async def test_a_server_that_takes_both(start_server: Start, open_connection: Opened, files: Files) -> None:
    server = start_server(files.configuration(behind="allow_non_tls: true"))
    assert is_secure(await open_connection(at(server), files.of(None)))
    assert not is_secure(await open_connection(at(server)))


async def test_nothing_is_told_to_a_server_without_tls(
    fake_server: Callable[[bytes], Awaitable[FakeServer]], files: Files
) -> None:
    server = await fake_server(b'INFO {"auth_required": true}\r\n')
    credentials = Credentials("a", "b", tls=files.of(None).tls)
    assert await refused(server.url, credentials) == "nats.tls asks for TLS but the server does not offer it"
    said = await refused(server.url.replace("nats", "tls"), Credentials("a", "b"))
    assert said == "the URL asks for TLS but the server does not offer it"
    assert server.got == b""


async def test_client_certificates(start_server: Start, open_connection: Opened, files: Files) -> None:
    server = start_server(files.configuration("verify: true"))
    assert is_secure(await open_connection(at(server), files.of("client")))
    for _ in range(3):  # the reason comes before, or after, what we write
        said = await refused(at(server), files.of(None))
        assert said.startswith("the server asks for a certificate; nats.tls.certificate_file and key_file say which")
        said = await refused(at(server), files.of("old"))
        taken = f"the server does not take the certificate in nats.tls.certificate_file, {files.folder}"
        assert said.startswith(f"{taken}/old.crt: certificate expired (nats.tls.certificate_file: {files.folder}/old")
        assert await refused(at(server), files.of("stranger")) == f"{taken}/stranger.crt: unknown ca"


async def test_users_by_certificate(start_server: Start, open_connection: Opened, files: Files) -> None:
    users = 'authorization {users: [{user: "CN=client"}]}'
    server = start_server(files.configuration("verify_and_map: true", users))
    assert is_secure(await open_connection(at(server), files.of("client")))
    files.ca.issue("nobody")
    said = await refused(at(server), files.of("nobody"))
    assert said == (
        "NATS says 'Authorization Violation' to the certificate in nats.tls.certificate_file, "
        f"{files.folder}/nobody.crt, and no other user"
    )


async def test_certificates_of_servers(start_server: Start, files: Files) -> None:
    good = start_server(files.configuration())
    said = await refused(good.url, files.of(None))
    assert said.startswith("the server's certificate is not good: IP address mismatch")
    assert said.endswith("; the name in nats.servers has to be one that it is for")
    old = start_server(files.configuration(certificate=files.ca.issue("olds", "localhost", days=-1)))
    assert "certificate has expired; the server needs another one" in await refused(at(old), files.of(None))
    other = Credentials(tls=TlsFiles(f"{files.folder}/other.pem"))
    assert f"one of those in nats.tls.ca_file, {files.folder}/other.pem" in await refused(at(good), other)


async def test_one_that_is_trusted_itself(start_server: Start, open_connection: Opened, files: Files) -> None:
    """Whoever signed it: what is in ``ca_file`` need not go back to a root. Its name is verified all the same."""
    server = start_server(files.configuration())
    pinned = Credentials(tls=TlsFiles(str(files.server[0])))
    assert is_secure(await open_connection(at(server), pinned))
    assert "IP address mismatch" in await refused(server.url, pinned)


async def test_the_name_of_a_server_that_was_told_of_by_address(
    start_server: Start, open_connection: Opened, files: Files
) -> None:
    server = start_server(files.configuration())
    connection = NatsConnection(lambda: None, Turn(asyncio.get_running_loop().call_soon))
    open_connection.connections.append(connection)
    await connection.open(server.url, files.of(None), "test", 5, "localhost")
    assert is_secure(connection)
    assert connection.known_as == "localhost"


async def test_servers_that_are_known_by_their_addresses_alone(
    start_server: Start, open_connection: Opened, files: Files
) -> None:
    """Each has a certificate for its own."""
    server = start_server(files.configuration(certificate=files.ca.issue("own", "127.0.0.1")))
    servers = Servers(["tls://127.0.0.2:4222"])
    servers.discovered([server.url], "127.0.0.2")
    connection = NatsConnection(lambda: None, Turn(asyncio.get_running_loop().call_soon))
    open_connection.connections.append(connection)
    await connection.open(server.url, files.of(None), "test", 5, servers.known_as(server.url))
    assert is_secure(connection)


async def test_tls_first(start_server: Start, open_connection: Opened, files: Files) -> None:
    first, usual = start_server(files.configuration("handshake_first: true")), start_server(files.configuration())
    assert is_secure(await open_connection(at(first), files.of(None, first=True)))
    said = await refused(at(first), files.of(None), permanent=False)
    assert said == "the server said nothing; where it has handshake_first, nats.tls.handshake_first is needed"
    plain = start_server("")
    said = await refused(at(plain), files.of(None, first=True), permanent=True)
    assert said == "the server does not begin with TLS; nats.tls.handshake_first is for servers that do"
    connection = NatsConnection(lambda: None, Turn(asyncio.get_running_loop().call_soon))
    with pytest.raises(OSError, match=r"handshake_first is for (servers that do|those that have handshake_first)"):
        await connection.open(at(usual), files.of(None, first=True), "test", 1)


async def test_credentials(start_server: Start, open_connection: Opened, tmp_path: Path) -> None:
    operator = Operator()
    server = start_server(operator.configuration)

    def user(name: str, of: Operator = operator, **claims: object) -> Credentials:
        return Credentials(credentials_file=str(of.credentials(tmp_path / name, **claims)))

    connection = await open_connection(server.url, user("good"))
    assert await publish(connection, "a") is None
    said = await refused(server.url, user("old", exp=int(time.time()) - 5))
    begins = "NATS says 'Authorization Violation' to the user in nats.credentials_file, "
    path = f"{tmp_path}/old"
    unknown = "; it, or its account, is not known there, or no more"
    assert said.startswith(f"{begins}{path}{unknown} (nats.credentials_file: {path}: the JWT expired on 2")
    assert await refused(server.url, user("wrong", Operator())) == f"{begins}{tmp_path}/wrong{unknown}"
    assert await refused(server.url, Credentials(credentials_file="nowhere")) == (
        "nats.credentials_file: nowhere: No such file or directory"
    )


async def test_credentials_that_expire_meanwhile(start_server: Start, open_connection: Opened, tmp_path: Path) -> None:
    """The server ends the connection, and says why; with another JWT in the file it takes the next one."""
    operator = Operator()
    server = start_server(operator.configuration)
    path = operator.credentials(tmp_path / "a.creds", exp=int(time.time()) + 2)
    connection = await open_connection(server.url, Credentials(credentials_file=str(path)))
    assert await asyncio.wait_for(connection.lost, 20) == "User Authentication Expired"
    operator.credentials(path, exp=int(time.time()) + 60)
    await open_connection(server.url, Credentials(credentials_file=str(path)))


async def test_an_nkey(start_server: Start, open_connection: Opened, tmp_path: Path) -> None:
    user, seed = Nkey(USER), tmp_path / "seed"
    server = start_server(f"authorization {{users: [{{nkey: {user.public}}}]}}")
    seed.write_text(user.seed)
    credentials = Credentials(nkey_seed_file=str(seed))
    assert await publish(await open_connection(server.url, credentials), "a") is None
    seed.write_text(Nkey(USER).seed)
    said = await refused(server.url, credentials)
    assert said == f"NATS says 'Authorization Violation' to the nkey in nats.nkey_seed_file, {seed}"


async def test_a_server_that_asks_for_others(start_server: Start, open_connection: Opened, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.write_text(Nkey(USER).seed)
    credentials = Credentials(nkey_seed_file=str(seed))
    passwords = start_server("authorization {user: a, password: b}")
    said = await refused(passwords.url, credentials)
    assert said == "the server asks for a user and password or a token, not for an nkey or a JWT"
    await open_connection(start_server("").url, credentials)

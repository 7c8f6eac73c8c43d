"""Connections that are made again, and left for another one, under TLS: with what is in the files by then."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen
from uuid import uuid4

import pytest

from helpers.authority import Authority, serial, sha256
from helpers.brokers import Brokers, publish, started
from helpers.metrics import value
from helpers.nats_cluster import cluster_port, pair, wanted
from helpers.nats_server import NatsServer
from helpers.nkeys import Operator
from helpers.peer import Peer
from helpers.traffic import Traffic
from helpers.waiting import DEADLINE_SECONDS, arrived, eventually
from wsgw.broker import handover
from wsgw.broker.broker import Broker
from wsgw.broker.client import DirectClient
from wsgw.broker.proof import read_proof
from wsgw.broker.subscription import Credentials
from wsgw.broker.uplink import NatsUnreachable
from wsgw.config.natsfiles import TlsFiles
from wsgw.errors import GatewayError
from wsgw.fanout.turn import Turn

Start = Callable[[str], NatsServer]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(handover, "WINDOW_SECONDS", 0.3)
    monkeypatch.setattr(handover, "OVERLAP_SECONDS", 0.8)


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def verifying(ca: Authority) -> str:
    """The configuration of a server that knows its clients by certificate; it is for ``localhost`` alone."""
    certificate, key = ca.issue("server", "localhost")
    return f'tls {{cert_file: "{certificate}", key_file: "{key}", ca_file: "{ca.file}", verify: true}}'


def known(ca: Authority) -> Credentials:
    """Those of a client that is known."""
    certificate, key = ca.issue("client")
    return Credentials(tls=TlsFiles(str(ca.file), str(certificate), str(key)))


def at(server: NatsServer) -> str:
    return f"tls://localhost:{server.port}"


def certificate_of(broker: Broker) -> int:
    """The number of that of the server connected to."""
    assert broker._connection is not None
    return shown_to(broker._connection._client)


def shown_to(client: DirectClient) -> int:
    assert client._stream is not None
    peer = client._stream._transport.get_extra_info("ssl_object").getpeercert()
    return int(peer["serialNumber"], 16)


async def serves(server: NatsServer, credentials: Credentials, number: int) -> bool:
    """Whether it shows the certificate of that number to who comes."""
    client = DirectClient(Turn(asyncio.get_running_loop().call_soon))
    await client.open(at(server), credentials, "test", 5)
    shown = shown_to(client)
    client.shut()
    return shown == number


def seen_by(server: NatsServer) -> str:
    """The fingerprint of the certificate that the gateway has shown it."""
    with urlopen(f"{server.monitoring}/connz?auth=1") as answer:
        connections = json.load(answer)["connections"]
    (mine,) = [connection for connection in connections if connection.get("name") == "wsgw"]
    return str(mine["tls_peer_certs"][0]["cert_sha256"])


async def test_certificates_are_renewed_under_load(
    make_broker: Brokers, start_server: Start, ca: Authority, tmp_path: Path
) -> None:
    """The servers', and the gateway's: by the time a server goes, the next one is connected to with the new ones.

    The connection there is goes on meanwhile; nothing is lost, doubled or reordered.
    """
    configuration = verifying(ca)
    first, second = pair(start_server, configuration)
    credentials = known(ca)
    broker, metrics = await started(make_broker, at(first), credentials)
    there = broker._connection
    assert there is not None
    await eventually(there.discovered, "word of the second server")
    before = certificate_of(broker)
    assert before == serial(tmp_path / "server.crt")
    assert seen_by(first) == sha256(tmp_path / "client.crt")

    name, out = uuid4().hex, uuid4().hex
    got: list[bytes] = []
    subscription = await broker.subscribe(name, lambda publication: got.append(publication.payload))
    context = (await read_proof(credentials, "tls")).context
    peers = [await Peer.connect(at(server), allow_reconnect=False, tls=context) for server in (first, second)]
    heard = await peers[1].listen(out)
    await wanted(second, name)
    await wanted(first, out)
    traffic = Traffic(name, peers)
    traffic.start()
    await arrived(got, 10)

    ca.issue("server", "localhost")
    ca.issue("client")
    for server in (first, second):
        server.reload()

    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await serves(second, credentials, serial(tmp_path / "server.crt")):  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)
    await arrived(got, len(got) + 100)
    assert broker._connection is there, "it goes on"
    assert certificate_of(broker) == before

    told: list[GatewayError | None] = []
    sent = 0
    first.lame_duck()
    while broker._leaving is None or not broker._leaving.done():
        broker.publish(out, [b"0 %d" % sent], told.append)
        sent += 1
        await asyncio.sleep(0.001)
    assert broker._connection is not there
    assert certificate_of(broker) == serial(tmp_path / "server.crt") != before
    assert seen_by(second) == sha256(tmp_path / "client.crt")
    await arrived(got, len(got) + 10)
    await traffic.stop()
    await eventually(lambda: traffic.missing(got) == 0, "all of it")
    await arrived(told, sent)
    assert set(told) == {None}
    assert heard == [b"0 %d" % number for number in range(sent)]
    assert not subscription.ended.done()
    assert value(metrics, "wsgw_nats_reconnects_total") == 1
    for peer in peers:
        await peer.close()


async def test_a_connection_made_again_has_what_is_in_the_files_by_then(
    make_broker: Brokers, start_server: Start, ca: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Bad files are an error in the log, which says what to change; they are looked at again and again."""
    server = start_server(verifying(ca))
    credentials = known(ca)
    broker, _ = await started(make_broker, at(server), credentials)
    Authority(tmp_path, "another").issue("client")
    assert broker.connected
    server.stop()
    server.start()
    what = f"the server does not take the certificate in nats.tls.certificate_file, {tmp_path}/client.crt: unknown ca"
    await eventually(lambda: what in caplog.text, "what is wrong")
    (tmp_path / "client.key").write_text("garbage")
    key = f"nats.tls.key_file: {tmp_path}/client.key: has no private key in PEM form, or a broken one"
    await eventually(lambda: key in caplog.text, "what is wrong now")
    for said in (what, key):
        assert {record.levelno for record in caplog.records if said in record.message} == {logging.ERROR}
        assert f"waiting for NATS: tls://localhost:{server.port}: {said}" in caplog.text
    ca.issue("client")
    await eventually(lambda: broker.connected, "it is back")
    assert await publish(broker, "a") is None


async def test_credentials_that_expire(
    make_broker: Brokers, start_server: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    operator = Operator()
    server = start_server(operator.configuration)
    path = operator.credentials(tmp_path / "a.creds", exp=int(time.time()) + 2)
    broker, _ = await started(make_broker, server.url, Credentials(credentials_file=str(path)))
    await eventually(lambda: "connection lost: User Authentication Expired" in caplog.text, "the end")
    await eventually(lambda: f"nats.credentials_file: {path}: the JWT expired on" in caplog.text, "why")
    (seed,) = [line for line in path.read_text().splitlines() if line.startswith("SU")]
    assert seed not in caplog.text
    operator.credentials(path, exp=int(time.time()) + 60)
    await eventually(lambda: broker.connected, "it is back")


async def test_one_of_two_servers_is_refused_while_the_other_is_had(
    make_broker: Brokers, start_server: Start, ca: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """That is said, once: nobody would hear of it until the other one is away."""
    wrong, right = start_server(""), start_server(verifying(ca))
    wrong_url = f"tls://localhost:{wrong.port}"
    broker, _ = make_broker(wrong_url, at(right), credentials=known(ca))
    await broker.start()
    await asyncio.wait_for(broker.wait_connected(), DEADLINE_SECONDS)
    (record,) = [record for record in caplog.records if "offer" in record.message]
    assert record.levelno == logging.WARNING
    assert record.message == (
        f"nats: another server is used: {wrong_url}: nats.tls asks for TLS but the server does not offer it"
    )
    assert await publish(broker, "a") is None


async def test_servers_known_by_address_have_certificates_for_their_own(
    make_broker: Brokers, ca: Authority, tmp_path: Path
) -> None:
    """One that another one told of, both by addresses: the first one's is none that its certificate has to be for."""
    servers: list[NatsServer] = []
    try:
        route = ""
        for number in (1, 2):
            address = f"127.0.0.{number}"
            certificate, key = ca.issue(f"server{number}", address)
            folder = tmp_path / str(number)
            folder.mkdir()
            configuration = f"""
                tls {{cert_file: "{certificate}", key_file: "{key}"}}
                cluster {{name: c, listen: "127.0.0.1:-1", {route}}}
            """
            servers.append(NatsServer(folder, configuration, address=address))
            route = f'routes: ["nats://127.0.0.1:{cluster_port(servers[0])}"]'
        credentials = Credentials(tls=TlsFiles(str(ca.file)))
        broker, _ = await started(make_broker, f"tls://127.0.0.1:{servers[0].port}", credentials)
        there = broker._connection
        assert there is not None
        await eventually(there.discovered, "word of the second server")
        servers[0].stop()
        await eventually(lambda: broker.connected and broker._connection is not there, "the second one is used")
        assert await publish(broker, "a") is None
    finally:
        for server in servers:
            server.stop()


async def test_one_of_two_servers_is_refused(
    make_broker: Brokers, start_server: Start, ca: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """The other one is away: both are told of, as an error, for one of them will not be had by waiting."""
    away, wrong = start_server(""), start_server("")
    away.stop()
    broker, _ = make_broker(away.url, wrong.url, credentials=known(ca))
    with pytest.raises(NatsUnreachable, match=r"onnect.*; nats://.*: nats.tls asks for TLS but the server does not"):
        await broker.start(wait=False)
    await broker.start()
    await eventually(lambda: "waiting for NATS" in caplog.text, "it says so")
    (line,) = {(record.levelno, record.message) for record in caplog.records if "waiting" in record.message}
    assert line[0] == logging.ERROR
    assert away.url in line[1]
    assert wrong.url in line[1]

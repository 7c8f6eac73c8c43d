"""The command-line clients by TLS: whose certificates they take, and what they say where they do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from helpers.authority import Authority
from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer

CHANNELS = [{"name": "IN", "direction": "inbound"}]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def places(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A gateway and a NATS, by the schemes of their URLs."""
    certificate, key = authority.issue("localhost", "localhost")
    nats = NatsServer(tmp_path_factory.mktemp("nats"), f"tls {{cert_file: '{certificate}', key_file: '{key}'}}")
    settings = {
        "nats": {"servers": [f"tls://localhost:{nats.port}"], "tls": {"ca_file": str(authority.file)}},
        "tls": {"certificate_file": str(certificate), "key_file": str(key)},
        "channels": CHANNELS,
    }
    gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"), settings, "--exit-if-no-nats")
    ports = {"https": gateway.port, "wss": gateway.port, "tls": nats.port, "nats": nats.port}
    yield {scheme: f"{scheme}://localhost:{port}" for scheme, port in ports.items()}
    gateway.kill()
    nats.stop()


@pytest.mark.parametrize("scheme", ["https", "wss", "tls", "nats"])
async def test_one_of_your_own(wsgw: Any, places: dict[str, str], authority: Authority, scheme: str) -> None:
    consumer = await wsgw("consumer", "-u", places[scheme], "-t", "IN", SSL_CERT_FILE=str(authority.file))
    await consumer.printed("Start listening")
    assert await consumer.stop() == 0


@pytest.mark.parametrize("scheme", ["https", "wss", "tls", "nats"])
async def test_one_that_nobody_knows(wsgw: Any, places: dict[str, str], scheme: str) -> None:
    consumer = await wsgw("consumer", "-u", places[scheme], "-t", "IN", "--timeout", "3")
    assert await consumer.ended() == 1
    assert f"cannot reach {places[scheme]} within 3 s: " in consumer.messages[-1]
    assert consumer.messages[-1].endswith("; for an authority of your own set SSL_CERT_FILE to its certificate")


async def test_another_name(wsgw: Any, places: dict[str, str], authority: Authority) -> None:
    """What is wrong then is not who signed it."""
    url = places["wss"].replace("localhost", "127.0.0.1")
    consumer = await wsgw("consumer", "-u", url, "-t", "IN", "--timeout", "3", SSL_CERT_FILE=str(authority.file))
    assert await consumer.ended() == 1
    assert "IP address mismatch" in consumer.messages[-1]
    assert "SSL_CERT_FILE" not in consumer.output

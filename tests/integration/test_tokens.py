"""Tokens at the gateway as users run it: by every way there is, with an identity provider, and never in its log."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.typing import Subprotocol

from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.raw_websocket import RawWebSocket, close
from helpers.tokens import SECRET, ec_key, jwk, jwks_server, rsa_key, token
from wsgw.access.jwks import FIRST_RETRY_SECONDS

RIGHTS = {"wsgw": {"subscribe": ["IN"], "publish": ["OUT"]}}
CHANNELS = [{"name": "IN", "direction": "inbound"}, {"name": "OUT", "direction": "outbound"}]


def configuration(nats: NatsServer, **auth: Any) -> dict[str, Any]:
    return {"nats": {"servers": nats.url}, "channels": CHANNELS, "auth": auth}


def by_websocket(port: int, text: str) -> list[tuple[RawWebSocket, dict[str, str]]]:
    """A client that shows the token ``text`` in each way, and the headers that it does so by."""
    protocols = [Subprotocol("bearer"), Subprotocol(text)]
    return [
        (RawWebSocket(port, "/ws/IN"), {"Authorization": f"Bearer {text}"}),
        (RawWebSocket(port, "/ws/IN", subprotocols=protocols), {}),
        (RawWebSocket(port, "/ws/IN"), {"Cookie": f"a=b; sid={text}"}),
        (RawWebSocket(port, f"/ws/IN?t={text}"), {}),
    ]


async def told(client: RawWebSocket, headers: dict[str, str]) -> int:
    """The code that ``client`` is closed with, which goes as soon as it is there: 1000 where it could have stayed."""
    await client.connect(headers=headers)
    await client.shake_hands()
    await client.send(close(1000))
    code, _ = await client.receive_close()
    client.close()
    return code


async def test_every_way_and_nothing_of_it_in_the_log(nats_server: NatsServer, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    auth = {"jwt": {"secret_file": str(tmp_path / "secret")}, "cookie": "sid", "query_parameter": "t"}
    gateway = GatewayProcess(tmp_path, configuration(nats_server, **auth), "-l", "silly", "-d")
    try:
        await gateway.ready()
        texts = [
            (token(RIGHTS), 1000, 202),
            (token(RIGHTS, key="another secret, of as many bytes as it takes"), 4501, 401),
            (token(RIGHTS | {"exp": 1}), 4010, 401),
            (token(), 4503, 403),
        ]
        async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as http:
            for text, code, status in texts:
                clients = by_websocket(gateway.port, text)
                assert await asyncio.gather(*(told(*client) for client in clients)) == [code] * len(clients)
                for request in (
                    {"headers": {"Authorization": f"Bearer {text}"}},
                    {"headers": {"Cookie": f"sid={text}"}},
                    {"params": {"t": text}},
                ):
                    answer = await http.post("/publish/OUT", content=b"x", **request)  # type: ignore[arg-type]
                    assert (answer.status_code, text in answer.text) == (status, False)
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await http.get(path)).status_code == 200
    finally:
        await gateway.stop()
    for text in (SECRET, *(text for text, _, _ in texts)):
        assert not [piece for piece in text.split(".") if piece in gateway.output]
    assert "secret_file: " in gateway.output  # -d


@pytest.mark.parametrize("away", [False, True], ids=["there", "away"])
async def test_keys_rotated_while_clients_come(nats_server: NatsServer, tmp_path: Path, away: bool) -> None:
    """No client of either key is refused; and where the URL is away those of the keys that were read are not."""
    async with jwks_server(jwk(rsa_key(), "old")) as provider:
        jwt = {"jwks_url": provider.url, "issuer": "https://id", "audience": "wsgw"}
        gateway = GatewayProcess(tmp_path, configuration(nats_server, jwt=jwt))
        try:
            await gateway.ready()
            claims = RIGHTS | {"iss": "https://id", "aud": "wsgw"}
            old = [token(claims | {"sub": f"o{i}"}, rsa_key(), "RS256", kid="old") for i in range(60)]
            new = [token(claims | {"sub": f"n{i}"}, ec_key(), "ES256", kid="new") for i in range(60)]
            async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as http:

                async def publish(text: str) -> int:
                    headers = {"Authorization": f"Bearer {text}"}
                    return (await http.post("/publish/OUT", content=b"x", headers=headers)).status_code

                assert await asyncio.gather(*map(publish, old[:20])) == [202] * 20
                began = time.monotonic()
                if away:
                    provider.status = "500 Internal Server Error"
                    assert await asyncio.gather(*map(publish, old + new)) == [202] * 60 + [503] * 60
                else:
                    provider.has(jwk(rsa_key(), "old"), jwk(ec_key(), "new"))
                    mixed = [text for pair in zip(old, new, strict=True) for text in pair]
                    assert await asyncio.gather(*map(publish, mixed)) == [202] * 120
                    unknown = [token(claims, rsa_key(1), "RS256", kid=f"k{i}") for i in range(60)]
                    assert await asyncio.gather(*map(publish, unknown)) == [401] * 60
                # 120 clients have it asked once; it is tried again by itself, where it is away
                tries = (time.monotonic() - began) / FIRST_RETRY_SECONDS if away else 0
                assert 2 <= provider.asked <= 2 + tries
                assert provider.most_at_once == 1
        finally:
            await gateway.stop()

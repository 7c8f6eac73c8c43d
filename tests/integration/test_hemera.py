"""Services of easer 5's kind (npm's nats-hemera 7 on its own client of NATS), and clients of the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from helpers import node
from helpers.client_socketio import SocketIOTransport, reply_of
from helpers.client_sse import SseTransport
from helpers.client_websocket import WebSocketTransport
from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer
from helpers.node_program import NodeProgram
from helpers.waiting import arrived, eventually

HERE = Path(__file__).parent / "hemera"
COMMANDS = ("add", "echo", "nothing", "fail", "wait", "unheard")
CHANNELS = [
    *({"name": cmd, "direction": "request", "hemera": {"topic": "math", "cmd": cmd}} for cmd in COMMANDS),
    {"name": "nobody", "direction": "request", "hemera": {"topic": "nobody.there"}},
    {"name": "place", "direction": "outbound", "hemera": {"topic": "orders", "cmd": "place"}},
    {"name": "news", "direction": "inbound", "hemera": True},
    {"name": "weather", "direction": "inbound", "hemera": {"topic": "news", "cmd": "weather"}},
    {"name": "text", "direction": "inbound", "subject": "news", "hemera": True, "payload": "bytes"},
    {"name": "room", "direction": "both", "hemera": True},
]


class Services(NodeProgram):
    """``lines`` has what they heard and what they were answered, each with what it is."""

    def heard(self, what: str) -> list[Any]:
        """What came of that kind."""
        return [line[1] for line in self.lines if line[0] == what]


@pytest.fixture
async def services(nats_server: NatsServer) -> AsyncIterator[Services]:
    modules = node.install(node.workspace("hemera"), HERE / "package.json")
    services = Services()
    await services.run(HERE / "services.cjs", nats_server.url, modules=modules)
    await eventually(lambda: ["ready"] in services.lines, "the services are there")
    yield services
    await services.stop()


@pytest.fixture
async def gateway(nats_server: NatsServer, services: Services, start_gateway: StartGateway) -> GatewayProcess:
    gateway = start_gateway(nats_server.url, CHANNELS, request_timeout="1s")
    await gateway.ready()
    return gateway


async def asked(gateway: GatewayProcess, name: str, payload: object) -> tuple[int, Any]:
    """What a request over HTTP is answered."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        answer = await http.post(f"{gateway.url}/request/{name}", content=json.dumps(payload))
    return answer.status_code, answer.json()


async def test_requests_over_http(gateway: GatewayProcess) -> None:
    assert await asked(gateway, "add", {"a": 1, "b": 2}) == (200, {"sum": 3})
    assert await asked(gateway, "add", {"a": 1, "b": 2, "exact": True}) == (200, {"sum": "3", "exact": True})
    given = {"cmd": "echo", "deep": [{"ä": None}, 1.5, "\u2028"], "on": False, "": ""}
    assert await asked(gateway, "echo", given) == (200, {"topic": "math", **given})
    assert await asked(gateway, "nothing", {}) == (200, None)
    many = await asyncio.gather(*(asked(gateway, "add", {"a": n, "b": n}) for n in range(50)))
    assert many == [(200, {"sum": 2 * n}) for n in range(50)]


async def test_errors(gateway: GatewayProcess) -> None:
    for name, payload, status, code, words in (
        ("fail", {"id": 7}, 502, "service_error", "the service on 'math' says: NoAccount: no account 7"),
        ("unheard", {}, 502, "service_error", "the service on 'math' says: PatternNotFound: "),
        ("wait", {}, 504, "timeout", "no reply on 'math' within 1 s"),
        ("nobody", {}, 503, "no_responders", "nobody answers requests on 'nobody.there'"),
        ("add", [1, 2], 400, "bad_request", "it is an array"),
        ("add", {"a": 1, "cmd": "fail"}, 400, "bad_request", "its field 'cmd' is another one than the channel's"),
        ("add", {"a": 1, "delegate$": {}}, 400, "bad_request", "its field 'delegate$' ends with '$'"),
    ):
        told, body = await asked(gateway, name, payload)
        assert (told, body["error"]["code"]) == (status, code)
        assert words in body["error"]["message"]
        assert ".cjs" not in json.dumps(body), "where in its code a service failed is not for clients"


async def test_socketio(gateway: GatewayProcess, services: Services, socketio: SocketIOTransport) -> None:
    client = await socketio.open(gateway, "room")
    answer = await asyncio.wait_for(await client.emit("add", {"a": 1, "b": 2}), 30)
    assert json.loads(reply_of(answer)) == {"sum": 3}
    refused = await asyncio.wait_for(await client.emit("fail", {"id": 7}), 30)
    assert refused == (
        {"error": {"code": "service_error", "message": "the service on 'math' says: NoAccount: no account 7"}},
    )
    acks = [await client.emit("place", {"order": 1}), await client.emit("place", []), await client.emit("place", "{}")]
    told: list[Any] = [(await asyncio.wait_for(ack, 30))[0] for ack in acks]
    assert (told[0], told[1]["error"]["code"], told[2]) == (True, "bad_request", True)
    await eventually(lambda: len(services.heard("placed")) == 2, "the services hear both")
    assert services.heard("placed") == [
        {"topic": "orders", "cmd": "place", "order": 1},
        {"topic": "orders", "cmd": "place"},
    ]
    await client.emit("room", {"says": "hello"})
    await arrived(client.events, 1)
    assert client.events == [("room", {"topic": "room", "says": "hello"})]
    await eventually(lambda: services.heard("room") == [{"topic": "room", "says": "hello"}], "a service hears it")


async def test_what_services_publish(
    gateway: GatewayProcess, services: Services, socketio: SocketIOTransport, websocket: WebSocketTransport
) -> None:
    """As wsgw 1.8's producer does: the envelope that it has sent is taken off again."""
    streams = SseTransport("one")
    event_client = await streams.open(gateway, "news", "weather")
    plain = await websocket.open(gateway, "news")
    sockets = await socketio.open(gateway, "news", "text")
    services.tell({"pubsub$": True, "topic": "news", "notes": "Some text..."})
    services.tell({"pubsub$": True, "topic": "news", "cmd": "weather", "degrees": 21, "meta$": {"secret": 1}})
    text = ['{"topic":"news","notes":"Some text..."}', '{"topic":"news","cmd":"weather","degrees":21}']
    await arrived(event_client.received, 3)
    await arrived(plain.received, 2)
    await arrived(sockets.events, 4)
    assert [json.loads(said) for name, said in event_client.received if name == "news"] == list(map(json.loads, text))
    assert [json.loads(said) for name, said in event_client.received if name == "weather"] == [json.loads(text[1])]
    assert [json.loads(said) for _, said in plain.received] == list(map(json.loads, text))
    assert [said for name, said in sockets.events if name == "news"] == list(map(json.loads, text))
    assert [json.loads(str(said)) for name, said in sockets.events if name == "text"] == list(map(json.loads, text))
    await streams.close()


async def test_what_is_none_of_hemeras(
    gateway: GatewayProcess, nats_server: NatsServer, websocket: WebSocketTransport, services: Services
) -> None:
    client = await websocket.open(gateway, "room")
    await client.send("room", '{"n": 1}')
    await arrived(client.received, 1)
    services.tell({"pubsub$": True, "topic": "room", "n": 2})
    await arrived(client.received, 2)
    assert [json.loads(said) for _, said in client.received] == [{"topic": "room", "n": 1}, {"topic": "room", "n": 2}]
    await client.send("room", "no JSON")
    assert await client.confirm() == ["bad_request"]

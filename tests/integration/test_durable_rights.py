"""Durable channels of a gateway that NATS permits little: exactly what docs/security.md says, and less than that."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from helpers.gateway import GatewayProcess, StartGateway
from helpers.nats_server import NatsServer, StartNats
from helpers.peer import Peer
from helpers.ports import free_port
from helpers.waiting import DEADLINE_SECONDS, eventually

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text()
USER, ACCOUNTS = re.findall(r"```text\n(.*?)```", PAGE.partition("## What NATS has to permit")[2], re.DOTALL)[:2]
#: What the bridge cannot do without, by what is in its line.
NEEDED = ["STREAM.INFO", "STREAM.CREATE", "CONSUMER.CREATE", "DIRECT.GET", "STREAM.MSG.GET", "JS.FC"]
PEER = "{user: peer, password: peer}"
#: More than NATS sends without an answer to its flow control.
MUCH = 150
LARGE = "x" * 60_000


def without(text: str, *lines: str) -> str:
    """``text`` without the lines that have one of ``lines`` in them: each is in some."""
    assert all(line in text for line in lines)
    return "\n".join(line for line in text.splitlines() if not any(one in line for one in lines))


@dataclass
class Site:
    """Where the gateway's NATS is, where a peer's, and what the configuration says of the stream."""

    url: str
    peer_url: str
    durable: dict[str, Any]


def own_account(start: StartNats, folder: Path, user: str = USER) -> Site:
    server = start(f"jetstream {{store_dir: {folder}}}\nauthorization {{users: [\n{user}\n{PEER}]}}")
    return Site(server.url, as_peer(server), {})


def other_account(start: StartNats, folder: Path, user: str = USER, accounts: str = ACCOUNTS) -> Site:
    user = user.replace("$JS.API", "JS.hub.API")
    accounts = accounts.replace("HUB: {", f"HUB: {{users: [{PEER}], ").replace(
        "EDGE: {", f"EDGE: {{users: [\n{user}\n], "
    )
    server = start(f"jetstream {{store_dir: {folder}}}\naccounts {{\n{accounts}\n}}")
    return Site(server.url, as_peer(server), {"api_prefix": "JS.hub.API"})


def leaf(start: StartNats, folder: Path, *, of_its_own: bool) -> Site:
    """``of_its_own``: the leaf has a JetStream, too."""
    port = free_port()
    hub = start(
        f"server_name: hub\njetstream {{store_dir: {folder}/hub, domain: hub}}\n"
        f"authorization {{users: [{PEER}]}}\nleafnodes {{host: 127.0.0.1, port: {port}}}"
    )
    own = f"jetstream {{store_dir: {folder}/leaf, domain: leaf}}" if of_its_own else ""
    server = start(
        f"server_name: leaf\n{own}\nleafnodes {{remotes: [{{url: 'nats://peer:peer@127.0.0.1:{port}'}}]}}\n"
        f"authorization {{users: [\n{USER.replace('$JS.API', '$JS.hub.API')}\n]}}"
    )
    return Site(server.url, as_peer(hub), {"domain": "hub"})


def as_peer(server: NatsServer) -> str:
    return server.url.replace("://", "://peer:peer@")


SITES: dict[str, Callable[[StartNats, Path], Site]] = {
    "own account": own_account,
    "not managed": lambda start, folder: own_account(start, folder, without(USER, "STREAM.CREATE")),
    "leaf": lambda start, folder: leaf(start, folder, of_its_own=False),
    "leaf with JetStream": lambda start, folder: leaf(start, folder, of_its_own=True),
    "other account": other_account,
    "other account, not managed": lambda start, folder: other_account(
        start, folder, without(USER, "STREAM.CREATE"), without(ACCOUNTS, "STREAM.CREATE")
    ),
}


@dataclass
class Running:
    site: Site
    peer: Peer
    start_gateway: StartGateway

    def gateway(self, **durable: Any) -> GatewayProcess:
        """One more."""
        held = {"stream": "ORDERS", **self.site.durable, **durable}
        return self.start_gateway(
            self.site.url,
            [
                {"name": "orders", "direction": "both", "durable": held},
                {"name": "plain", "direction": "inbound", "subject": "_GATE.plain"},
            ],
            nats={"user": "gateway", "password": "secret", "inbox_prefix": "_GATE"},
        )

    async def make_stream(self) -> None:
        configuration = {"name": "ORDERS", "subjects": ["orders"], "storage": "memory", "allow_direct": True}
        await self.peer.nats.request("$JS.API.STREAM.CREATE.ORDERS", json.dumps(configuration).encode(), timeout=10)

    async def store(self, *payloads: str) -> None:
        for payload in payloads:
            await self.peer.nats.request("orders", payload.encode(), timeout=10)


Run = Callable[[Site], Any]


@pytest.fixture
async def run(start_gateway: StartGateway) -> AsyncIterator[Run]:
    peers: list[Peer] = []

    async def start(site: Site) -> Running:
        peers.append(await Peer.connect(site.peer_url))
        return Running(site, peers[-1], start_gateway)

    yield start
    for peer in peers:
        await peer.close()


async def received(gateway: GatewayProcess, query: str, count: int) -> tuple[list[str], str]:
    """The texts of ``count`` messages, and the id of the last one, or of where the client came in."""
    texts: list[str] = []
    async with (
        connect(f"{gateway.websocket('orders')}?envelope=1{query}", proxy=None, max_size=None) as socket,
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        id = ""
        while len(texts) < count or not id:
            said = json.loads(await socket.recv())
            id = said.get("id", id)
            texts += [said["text"]] if "text" in said else []
    return texts, id


@pytest.mark.parametrize("name", SITES)
async def test_what_is_permitted_is_enough(name: str, run: Run, start_nats: StartNats, tmp_path: Path) -> None:
    running = await run(SITES[name](start_nats, tmp_path))
    managed = "not managed" not in name
    if not managed:
        await running.make_stream()
    gateway = running.gateway(managed=managed)
    await gateway.ready()
    _, start = await received(gateway, "", 0)
    async with (
        connect(f"{gateway.websocket('orders')}", proxy=None, max_size=None) as socket,
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="orders") == 1, "it is subscribed")
        payloads = [f"{number} {LARGE}" for number in range(MUCH)]
        for payload in payloads:  # as fast as it goes: flow control has to work
            await running.peer.publish("orders", payload)
        assert [await socket.recv() for _ in payloads] == payloads
    assert await gateway.post("/publish/orders", b"of a client") == (202, "")
    other = running.gateway(managed=managed)
    await other.ready()
    assert (await received(other, f"&after={start}", MUCH + 1))[0] == [*payloads, "of a client"]
    assert 0 < other.metric("wsgw_stream_reads_total") < MUCH, "in batches"
    await gateway.stop()
    await other.stop()
    for output in (gateway.output, other.output):
        assert "the server says" not in output, "nothing was refused"


@pytest.mark.parametrize("site", [own_account, other_account])
@pytest.mark.parametrize("right", NEEDED)
async def test_a_right_that_is_missing(
    right: str, site: Callable[..., Site], run: Run, start_nats: StartNats, tmp_path: Path
) -> None:
    running = await run(site(start_nats, tmp_path, without(USER, right)))
    gateway = running.gateway()
    await eventually(lambda: "orders" in failures(gateway), "it failed")
    why = failures(gateway)["orders"]
    assert re.match(rf"failed: NATS refuses '[A-Za-z$.]*{right}\.ORDERS", why)
    assert list(failures(gateway)) == ["orders"]
    async with connect(gateway.websocket("plain"), proxy=None) as socket, asyncio.timeout(DEADLINE_SECONDS):
        await eventually(lambda: gateway.metric("wsgw_subscriptions", channel="plain") == 1, "others work")
        await running.peer.publish("_GATE.plain", "x")
        assert await socket.recv() == "x"


@pytest.mark.parametrize("missing", NEEDED)
async def test_an_import_that_is_missing(missing: str, run: Run, start_nats: StartNats, tmp_path: Path) -> None:
    accounts = "".join(
        part if part.startswith("HUB") else without(part, missing) for part in re.split("(?m)^(?=EDGE)", ACCOUNTS)
    )
    running = await run(other_account(start_nats, tmp_path, accounts=accounts))
    gateway = running.gateway()
    if missing == "JS.FC":  # nothing is refused, and only NATS waits
        await gateway.ready()
        _, start = await received(gateway, "", 0)
        await running.store(*[LARGE] * MUCH)
        await eventually(lambda: "orders" in failures(gateway), "it failed")
        assert "it hears no answers of the gateway, which go to $JS.FC.ORDERS." in failures(gateway)["orders"]
        assert len((await received(gateway, f"&after={start}", MUCH))[0]) == MUCH, "all the same"
        return
    await eventually(lambda: "orders" in failures(gateway), "it failed")
    assert f"nobody is at JS.hub.API.{missing}.ORDERS" in failures(gateway)["orders"]


async def test_nothing_is_delivered_to_another_account(run: Run, start_nats: StartNats, tmp_path: Path) -> None:
    accounts = without(ACCOUNTS, "{stream: {account")
    running = await run(other_account(start_nats, tmp_path, accounts=accounts))
    gateway = running.gateway()
    await eventually(lambda: "orders" in failures(gateway), "it failed")
    assert "does its account export _GATE.>, and this one import it?" in failures(gateway)["orders"]


def failures(gateway: GatewayProcess) -> dict[str, str]:
    bridges: dict[str, str] = gateway.readiness()[1]["bridges"]
    return {name: why for name, why in bridges.items() if why.startswith("failed")}

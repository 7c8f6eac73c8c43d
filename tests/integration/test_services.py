"""Request channels in front of a NATS service, as the library of NATS makes one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import nats.micro
import pytest
from nats.micro.request import Request

from helpers.client import Refused, Transport
from helpers.gateway import GatewayProcess
from helpers.peer import Peer


@pytest.fixture
async def service(peer: Peer) -> AsyncIterator[None]:
    """It answers numbers, and what is none with an error."""

    async def answer(request: Request) -> None:
        if request.data.isdigit():
            await request.respond(b"%d" % (2 * int(request.data)), {"A": "b"})
        else:
            await request.respond_error("422", "that is no number", b"not for clients")

    made = await nats.micro.add_service(peer.nats, name="doubling", version="1.0.0")
    await made.add_endpoint(name="double", subject="math.sum", handler=answer)
    await peer.fence()
    yield
    await made.stop()


@pytest.mark.usefixtures("service")
async def test_over_sockets(transport: Transport, gateway: GatewayProcess) -> None:
    if not transport.acks:
        pytest.skip("request channels are refused on a plain WebSocket")
    before = gateway.metric("wsgw_publish_errors_total", channel="sum", reason="service_error")
    client = await transport.open(gateway, "IN")
    assert await client.request("sum", "21") == "42"
    with pytest.raises(Refused) as refused:
        await client.request("sum", "x")
    assert refused.value.code == "service_error"
    assert await client.request("sum", "2") == "4"
    assert gateway.metric("wsgw_publish_errors_total", channel="sum", reason="service_error") == before + 1


@pytest.mark.usefixtures("service")
async def test_over_http(gateway: GatewayProcess) -> None:
    assert await gateway.post("/request/sum", b"21") == (200, "")
    assert await gateway.post("/request/sum", b"x") == (422, "service_error")

"""What endpoints find of their application and of the request."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.nats_server import NatsServer
from helpers.running import running
from wsgw.surfaces.application import gateway_of, principal_of


def test_an_application_that_was_not_started() -> None:
    class App:
        class state:
            pass

    with pytest.raises(RuntimeError, match="lifespan"):
        gateway_of({"app": App})


async def test_its_gateway(nats: NatsServer) -> None:
    async with running(nats.url) as served:
        assert gateway_of({"app": served.app}) is served.gateway


@pytest.mark.parametrize(("client", "address"), [(("10.0.0.1", 1), "10.0.0.1"), (None, "")])
def test_who_asks(client: object, address: str) -> None:
    headers = [(b"cookie", b"a=b")]
    scope: dict[str, Any] = {"path": "/ws/IN", "query_string": b"receive=1", "headers": headers, "client": client}
    principal = principal_of(scope, "websocket")
    assert (principal.transport, principal.client) == ("websocket", address)
    assert principal.handshake is not None
    assert principal.handshake.path == "/ws/IN"
    assert principal.handshake.query == {"receive": "1"}
    assert principal.handshake.headers == {"cookie": "a=b"}

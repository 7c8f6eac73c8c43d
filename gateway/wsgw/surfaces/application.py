"""What endpoints find of their application, and of the request that brought them."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from wsgw.access.principal import Principal
from wsgw.core.gateway import Gateway
from wsgw.transports.http import handshake_of


def gateway_of(scope: MutableMapping[str, Any]) -> Gateway:
    """The gateway of the application that an ASGI ``scope`` belongs to."""
    gateway = getattr(scope["app"].state, "gateway", None)
    if not isinstance(gateway, Gateway):
        raise RuntimeError(  # noqa: TRY004  the application was put together wrongly, no argument has a wrong type
            "the application's lifespan has not run; where it is mounted, the outer application has to enter "
            "app.router.lifespan_context(app) in its own lifespan"
        )
    return gateway


def principal_of(scope: MutableMapping[str, Any], transport: str) -> Principal:
    """Who the request of an ASGI ``scope`` comes from, by ``transport`` (the label in metrics)."""
    return Principal(transport, handshake_of(scope))

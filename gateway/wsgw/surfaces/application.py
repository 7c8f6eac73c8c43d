"""From an ASGI scope to what the application it belongs to holds."""

from __future__ import annotations

from wsgw.core.gateway import Gateway
from wsgw.transports.asgi import Event


def gateway_of(scope: Event) -> Gateway:
    """The gateway of the application that ``scope`` belongs to; raises RuntimeError where its lifespan has not run."""
    gateway = getattr(scope["app"].state, "gateway", None)
    if not isinstance(gateway, Gateway):
        raise RuntimeError(  # noqa: TRY004  the application was put together wrongly, no argument has a wrong type
            "the application's lifespan has not run; where it is mounted, the outer application has to enter "
            "app.router.lifespan_context(app) in its own lifespan"
        )
    return gateway

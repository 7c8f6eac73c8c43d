"""The faults that plain channels meet: those that are nothing to streams, and clients that are dropped for."""

from __future__ import annotations

from chaos.faults import FAULTS, FULL_SECONDS, SHORT, Fault, crawl, far_ways
from chaos.field import Field
from helpers.proxy import Proxy


async def stalled(field: Field) -> None:
    """Far clients take nothing, until much was dropped for them."""
    async with far_ways(field, Proxy.hold):
        await _dropped(field)


async def slow(field: Field) -> None:
    """Far clients take 1 KB a second, until much was dropped for them."""
    async with far_ways(field, crawl):
        await _dropped(field)


async def _dropped(field: Field) -> None:
    if field.several_faults:
        return
    name = "wsgw_dropped_messages_total"
    before = await field.metric(name)
    await field.metric_is(lambda count: count > before + (20 if SHORT else 200), FULL_SECONDS, name)


_SAME = (
    *("nats_killed", "nats_stopped", "network_cut", "network_silent", "gateway_killed", "gateway_drained"),
    *("clients_cut", "clients_half_open"),
)

PLAIN_FAULTS: dict[str, Fault] = {
    **{name: FAULTS[name] for name in _SAME},
    "stalled": Fault(stalled, "clients"),
    "slow": Fault(slow, "clients"),
}

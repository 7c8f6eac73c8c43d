"""Many clients by one proxy, before a gateway that knows of none: all have one address, and no limit by it applies.

``WSGW_PROXIED=5000`` makes the long form (``make proxied``), which prints its figures, and in which nothing is said for
longer than the proxy waits.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import time
from pathlib import Path

from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.proxied import site
from helpers.proxies import configured, found, gateway_settings
from helpers.waiting import eventually
from proxies.crowd import Member, connect

from .conftest import CHANNELS

WANTED = int(os.environ.get("WSGW_PROXIED", "300"))
LONG = WANTED > 1000
#: For proxy, gateway and this process each: two for each client, and what else they have.
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
CLIENTS = WANTED if HARD == resource.RLIM_INFINITY else min(WANTED, (HARD - 500) // 2)
#: For longer than the page's proxies wait for a byte.
QUIET_SECONDS = 70.0 if LONG else 0.0
MESSAGES = 20
#: What one address may do, where it is known to be one client's.
LIMITS = {"connections": 5, "connects_per_second": 1, "messages_per_second": 1}


async def told(members: list[Member], peer: Peer, first: int) -> float:
    """How long it takes until all have what is published now; each fault is one of theirs."""
    began = time.monotonic()
    for number in range(first, first + MESSAGES):
        await peer.publish("IN", f"<{number}>")

    def have_it() -> bool:
        return all(member.came == first + MESSAGES or member.fault for member in members)

    await eventually(have_it, "all have it", 60)
    faults = [f"{member.kind}: {member.fault}" for member in members if member.fault]
    assert not faults, (len(faults), faults[:5])
    return time.monotonic() - began


async def test_one_address_is_not_one_client(nats: NatsServer, peer: Peer, tmp_path: Path) -> None:
    found("haproxy")
    if CLIENTS < WANTED:
        print(f"{CLIENTS} clients instead of {WANTED}: {HARD} open files may be had")
    resource.setrlimit(resource.RLIMIT_NOFILE, (HARD, HARD))
    settings = {"nats": {"servers": [nats.url]}, **gateway_settings(), "channels": CHANNELS}
    del settings["trusted_proxies"]
    (tmp_path / "gateway").mkdir()
    gateway = GatewayProcess(tmp_path / "gateway", {**settings, "limits": {"address": LIMITS}}, "-l", "info")
    published = await peer.listen("OUT")
    members: list[Member] = []
    try:
        async with site("haproxy", tmp_path, [gateway], None, text=configured("haproxy", tls=False)) as served:
            before, began = gateway.resident_bytes(), time.monotonic()
            members = await connect(served.proxy.port, CLIENTS)
            connecting = time.monotonic() - began
            kept = (gateway.resident_bytes() - before) / CLIENTS
            assert gateway.metric("wsgw_connections") == CLIENTS
            took = [await told(members, peer, 0)]
            await asyncio.sleep(QUIET_SECONDS)
            took.append(await told(members, peer, MESSAGES))
            publishing = [member for member in members if member.kind == "socketio"]
            for member in publishing:
                member.publish()
            await eventually(lambda: all(member.acked == 1 for member in publishing), "all are acknowledged", 60)
            assert len(set(published)) == len(published) == len(publishing)
            assert gateway.metric("wsgw_rejected_total") == 0
            assert gateway.metric("wsgw_closes_total") == 0
            assert gateway.metric("wsgw_dropped_messages_total") == 0
            assert kept < 64 * 1024
            warnings = re.findall(r"^.*\b(?:warn|error): .*$", gateway.output, re.MULTILINE)
            assert len(warnings) == 1
            assert "limits by address are configured, and do not apply to 127.0.0.1" in warnings[0]
            if LONG:
                print(
                    f"\n{CLIENTS} clients by one HAProxy: all there in {connecting:.1f} s; {MESSAGES} messages to each "
                    f"in {took[0]:.2f} s, and in {took[1]:.2f} s after {QUIET_SECONDS:.0f} s without any; none missed; "
                    f"{kept / 1024:.1f} KiB of the gateway's memory for each"
                )
            for member in members:
                member.close()
            await eventually(lambda: gateway.metric("wsgw_connections") == 0, "all are gone", 60)
        await gateway.stop()
    finally:
        for member in members:
            member.close()
        gateway.kill()

"""The largest messages there are, to a client that fetches them late."""

from __future__ import annotations

import httpx

from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.polling import open_polling
from helpers.waiting import DEADLINE_SECONDS, eventually


async def test_the_default_outbox_takes_a_maximal_message_and_others(
    gateway: GatewayProcess, nats_server: NatsServer, peer: Peer
) -> None:
    """Control characters are the worst: each is six bytes in Socket.IO's JSON."""
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_SECONDS) as http:
        url = await open_polling(http, gateway, "greetings")
        assert (await http.get(url)).text.startswith("40")
        dropped = gateway.metric("wsgw_dropped_messages_total", channel="greetings")
        waiting = gateway.metric("wsgw_outbox_messages")
        await peer.publish("greetings", "before", "\x01" * 1024 * 1024, "after")
        await eventually(lambda: gateway.metric("wsgw_outbox_messages") == waiting + 3, "all wait for the next poll")
        fetched = ""
        while '"after"' not in fetched:
            fetched += (await http.get(url)).text
        assert fetched.count("\\u0001") == 1024 * 1024
        assert '42["greetings","before"]' in fetched
        assert gateway.metric("wsgw_dropped_messages_total", channel="greetings") == dropped
        await http.post(url, content=b"1")

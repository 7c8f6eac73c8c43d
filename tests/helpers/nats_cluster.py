"""nats-servers that are one cluster: three with JetStream, or two without."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

from helpers.nats_server import NatsServer, StartNats
from helpers.ports import lasting_port
from helpers.waiting import eventually

SIZE = 3


def cluster(folder: Callable[[str], Path]) -> list[NatsServer]:
    """Its servers, which take connections; JetStream answers when it has a leader. To be stopped, each.

    They tell clients nothing of one another: who is to know them all is given their URLs. ``folder(name)`` makes a
    directory. A server that is started again has the name, the ports and the files that it had.
    """
    ports = [lasting_port() for _ in range(SIZE)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers: list[NatsServer] = []
    for number, port in enumerate(ports):
        store = folder("nats")
        configuration = f"""
            server_name: {name_of(number)}
            jetstream {{store_dir: "{store}"}}
            cluster {{name: c, listen: "127.0.0.1:{port}", no_advertise: true, routes: [{routes}]}}
        """
        servers.append(NatsServer(store, configuration, lasting_port()))
    return servers


def pair(start: StartNats, configuration: str = "") -> tuple[NatsServer, NatsServer]:
    """Two that tell clients of one another, with ``configuration`` each; their route is made a little later."""
    first = start(f'{configuration}\ncluster {{name: c, listen: "127.0.0.1:-1"}}')
    route = f"nats://127.0.0.1:{cluster_port(first)}"
    return first, start(f'{configuration}\ncluster {{name: c, listen: "127.0.0.1:-1", routes: ["{route}"]}}')


def cluster_port(server: NatsServer) -> int:
    """Where its routes come to."""
    with urlopen(f"{server.monitoring}/varz") as answer:
        return int(json.load(answer)["cluster"]["cluster_port"])


async def wanted(server: NatsServer, *subjects: str) -> None:
    """Returns when ``server`` knows that others of its cluster want each of ``subjects``.

    Until then what is published at it does not come to them, and nobody is told.
    """

    def missing() -> set[str]:
        with urlopen(f"{server.monitoring}/routez?subs=1") as answer:
            routes = json.load(answer)["routes"]
        return set(subjects).difference(*(route.get("subscriptions_list") or () for route in routes))

    await eventually(lambda: not missing(), f"others want {subjects}")


def name_of(number: int) -> str:
    """What the server ``number`` is called in JetStream's answers."""
    return f"n{number}"

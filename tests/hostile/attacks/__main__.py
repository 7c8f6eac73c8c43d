"""``python -m hostile.attacks NAME PORT NATS_PORT ARGUMENTS``: run one; what it saw is printed as JSON in the end."""

from __future__ import annotations

import asyncio
import json
import sys

from hostile.attacks.table import ATTACKS
from hostile.sockets import Target


def main(name: str, port: str, nats_port: str, arguments: str) -> None:
    attack = ATTACKS[name]
    print("begins", flush=True)
    seen = asyncio.run(attack.run(Target(int(port), int(nats_port)), **attack.arguments | json.loads(arguments)))
    print(json.dumps(seen))


main(*sys.argv[1:])

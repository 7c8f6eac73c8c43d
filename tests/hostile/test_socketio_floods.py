"""Socket.IO clients that send what is refused, at full speed: refusing costs no more than accepting."""

from __future__ import annotations

import pytest

from hostile.attacks.table import ATTACKS
from hostile.battle import Battle
from hostile.form import LONG

FLOODS = [name for name in ATTACKS if name.startswith("5 ")] if LONG else ["5 packets of all kinds"]


@pytest.mark.parametrize("what", FLOODS)
async def test_floods(battle: Battle, what: str) -> None:
    await battle.fight(what, again=True)


async def test_millions_of_arguments(battle: Battle) -> None:
    """Looked at for their number before they are taken apart."""
    await battle.fight("6 millions of arguments")


async def test_connect_and_disconnect_without_waiting(battle: Battle) -> None:
    """A session holds no more of them than one."""
    await battle.fight("16 connect and disconnect", again=True)

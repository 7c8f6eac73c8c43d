"""Connections that have been closed, and are there for as long as their clients let them: only so many."""

from __future__ import annotations

from wsgw.shares.parting import Parting


class Connection:
    """It notes that it is dropped."""

    def __init__(self) -> None:
        self.dropped = False

    def abort(self) -> None:
        self.dropped = True


def test_the_oldest_goes_for_one_too_many() -> None:
    parting = Parting(3)
    connections = [Connection() for _ in range(5)]
    for connection in connections:
        parting.add(connection)
    assert [connection.dropped for connection in connections] == [True, True, False, False, False]
    assert len(parting) == 3
    parting.add(connections[-1])  # which is known
    assert not connections[2].dropped


def test_who_is_gone_has_no_place() -> None:
    parting = Parting(2)
    first, second, third = Connection(), Connection(), Connection()
    parting.add(first)
    parting.add(second)
    parting.discard(first)
    parting.discard(first)
    parting.add(third)
    assert not any(each.dropped for each in (first, second, third))
    parting.discard(second)
    parting.discard(third)
    assert len(parting) == 0

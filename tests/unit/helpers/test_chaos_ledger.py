"""The ledger of the chaos suite notices what it is for."""

from __future__ import annotations

import pytest

from chaos.ledger import GAP, Account, Got, Ledger, number_of, position_of


def got(*sequences: int, identity: str = "a") -> list[Got]:
    return [Got(identity, sequence, b"%d" % sequence) for sequence in sequences]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger("a", {sequence: b"%d" % sequence for sequence in range(1, 11)})


def test_all_is_well(ledger: Ledger) -> None:
    assert ledger.account(got(3, 4, 5)) == Account(delivered=3)
    assert ledger.account([]) == Account()


@pytest.mark.parametrize(
    ("sequences", "wanted"),
    [
        ((1, 2, 4), Account(delivered=3, unsaid=1)),
        ((1, 2, 2, 3), Account(delivered=4, doubled=1)),
        ((1, 3, 2, 4), Account(delivered=4, unsaid=2, reordered=1)),
    ],
)
def test_a_planted_fault(ledger: Ledger, sequences: tuple[int, ...], wanted: Account) -> None:
    found = ledger.account(got(*sequences))
    assert found == wanted
    assert not found.good


def test_what_is_missing_behind_the_place_where_a_client_came_in(ledger: Ledger) -> None:
    place = Got("a", 2, payload=None)
    assert ledger.account([place, *got(3, 4)]) == Account(delivered=2)
    assert ledger.account([place, *got(4)]) == Account(delivered=1, unsaid=1)
    assert ledger.account([place, *got(2)]) == Account(delivered=1, doubled=1)


def test_a_gap_that_was_told_excuses_what_is_missing_and_no_more(ledger: Ledger) -> None:
    assert ledger.account([*got(1, 2), GAP, *got(5, 6)]) == Account(delivered=4, told=1)
    assert not ledger.account([*got(1, 2), GAP, *got(2, 3)]).good
    assert not ledger.account([*got(1, 2), GAP, *got(5, 7)]).good


def test_another_stream() -> None:
    ledger = Ledger("b", {1: b"x", 2: b"y"})
    other = [Got("b", 1, b"x")]
    assert ledger.account([*got(1, 2), GAP, *other]).good
    assert ledger.account([*got(1, 2), *other]) == Account(delivered=3, unsaid=1)


def test_a_payload_of_another_message(ledger: Ledger) -> None:
    assert ledger.account([Got("a", 1, b"2")]) == Account(delivered=1, wrong=1)


def test_a_message_that_the_stream_does_not_have(ledger: Ledger) -> None:
    assert ledger.account([Got("a", 11, b"11")]) == Account(delivered=1, wrong=1)
    assert Ledger("a", {5: b"5"}).account(got(3, 4, 5)).good, "what was purged cannot be compared"


def test_where_the_first_flaw_is(ledger: Ledger) -> None:
    assert ledger.first_flaw(got(1, 2, 3)) == ""
    assert ledger.first_flaw([*got(1), GAP, *got(4, 6, 7, 9)]) == "a-1 b'1', gap, a-4 b'4', a-6 b'6'"
    assert ledger.first_flaw([Got("a", 1, payload=None), *got(3)]) == "a-1 'in', a-3 b'3'"


def test_positions() -> None:
    assert position_of("1.0123456789-42") == ("0123456789", 42)


def test_numbers() -> None:
    assert [number_of(payload) for payload in (b"12", b"12 xxx", b"a12", b"the end", b"")] == [12, 12, -1, -1, -1]

"""The ledger of plain channels notices what it is for."""

from __future__ import annotations

import pytest

from chaos.ledger import Account
from chaos.plain import CONNECTED, GAP, Heard, Missing, PlainLedger


@pytest.fixture
def ledger() -> PlainLedger:
    """NATS has taken all but 5 and 6."""
    return PlainLedger([0, 1, 2, 3, 4, 7, 8, 9, 10])


@pytest.mark.parametrize(
    ("heard", "wanted"),
    [
        ([CONNECTED, 3, 4, 7], Account(delivered=3)),
        ([CONNECTED, 3, 4, 5, 7], Account(delivered=4)),
        ([CONNECTED, 1, GAP, 8, CONNECTED, 10], Account(delivered=3, told=1)),
        ([CONNECTED, 1, Missing(3), 7], Account(delivered=2, told=1)),
        ([CONNECTED, 1, Missing(5), 7], Account(delivered=2, told=1)),
        ([CONNECTED, Missing(2), 7], Account(delivered=1, told=1)),
    ],
)
def test_all_is_well(ledger: PlainLedger, heard: list[Heard], wanted: Account) -> None:
    assert ledger.account(heard) == wanted
    assert wanted.good


@pytest.mark.parametrize(
    ("heard", "wanted"),
    [
        ([CONNECTED, 1, 3], Account(delivered=2, unsaid=1)),
        ([CONNECTED, 1, Missing(1), 4], Account(delivered=2, told=1, unsaid=1)),
        ([CONNECTED, 1, Missing(6), 7], Account(delivered=2, told=1, wrong=1)),
        ([CONNECTED, 1, GAP, 3, 7], Account(delivered=3, told=1, unsaid=1)),
        ([CONNECTED, 1, 1, 2], Account(delivered=3, doubled=1)),
        ([CONNECTED, 1, CONNECTED, 1], Account(delivered=2, doubled=1)),
        ([CONNECTED, 2, GAP, 1], Account(delivered=2, told=1, reordered=1)),
    ],
)
def test_a_planted_fault(ledger: PlainLedger, heard: list[Heard], wanted: Account) -> None:
    assert ledger.account(heard) == wanted
    assert not wanted.good

"""The table at the end of the chaos suite."""

from __future__ import annotations

from chaos.ledger import Account
from chaos.posts import PostAccount
from chaos.report import Run, table


def columns(lines: list[str]) -> dict[str, dict[str, str]]:
    """By fault and head."""
    cells = [[cell for cell in line.split("  ") if cell] for line in lines]
    return {row[0].strip(): dict(zip(map(str.strip, cells[0]), map(str.strip, row), strict=True)) for row in cells}


def test_a_line_for_each_fault_and_their_sum() -> None:
    runs = [
        Run("a", 1, 10, Account(20, 1, 0, 0, 0, 0), PostAccount(acked=9), (0.5, 1.5), ""),
        Run("b", 1, 5, Account(6, 0, 2, 3, 4, 5), PostAccount(3, 1, 1, 6, 1, 7, 8, 9), (), "AssertionError"),
        Run("a", 2, 1, Account(2, 1, 0, 0, 0, 0), PostAccount(acked=1), (4.0,), ""),
    ]
    found = columns(table(runs))
    a = {"runs": "2", "failed": "0", "sent": "11", "delivered": "22", "told": "2", "acked": "10"}
    assert a.items() <= found["a"].items()
    assert (found["a"]["recovery median"], found["a"]["max"]) == ("1.50 s", "4.00 s")
    b = {"failed": "1", "unsaid": "2", "doubled": "3", "reordered": "4", "wrong": "5"}
    assert {**b, "missing": "7", "denied": "7", "twice": "17", "max": "-"}.items() <= found["b"].items()
    assert {"runs": "3", "failed": "1", "sent": "16", "unsaid": "2"}.items() <= found["all"].items()


def test_one_fault_has_no_sum() -> None:
    assert len(table([Run("a", 1)])) == 2


def test_a_run_in_words() -> None:
    assert str(Run("a", 1, failure="")).endswith("s")
    assert str(Run("a", 1, failure="it was lost")).endswith("FAILED: it was lost")

"""What all runs came to, fault by fault."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos.ledger import Account
from chaos.posts import PostAccount


@dataclass
class Run:
    """Of one fault: ``sent`` messages, ``recovery_seconds`` after each time it was made.

    ``failure`` is empty where all is well.
    """

    fault: str
    seed: int
    sent: int = 0
    account: Account = field(default_factory=Account)
    posts: PostAccount = field(default_factory=PostAccount)
    recovery_seconds: tuple[float, ...] = ()
    failure: str = "not ended"

    def __str__(self) -> str:
        recovery = ", ".join(f"{seconds:.2f}" for seconds in self.recovery_seconds)
        told = f"sent {self.sent} {self.account} {self.posts} recovery [{recovery}] s"
        return f"chaos {self.fault:18} seed {self.seed:4} {told}{' FAILED: ' * bool(self.failure)}{self.failure}"


_HEAD = (
    *("fault", "runs", "failed", "sent", "delivered", "told", "unsaid", "doubled", "reordered", "wrong"),
    *("acked", "missing", "denied", "twice", "recovery median", "max"),
)


def table(runs: Sequence[Run]) -> list[str]:
    """A line for each fault, in the order of their first runs, and their sum; CONTRIBUTING.md says what columns are."""
    names = dict.fromkeys(run.fault for run in runs)
    rows = [_HEAD, *(_row(name, [run for run in runs if run.fault == name]) for name in names)]
    if len(rows) > 2:
        rows.append(_row("all", runs))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def _row(name: str, runs: Sequence[Run]) -> tuple[str, ...]:
    account = sum([run.account for run in runs], Account())
    posts = sum([run.posts for run in runs], PostAccount())
    seconds = [one for run in runs for one in run.recovery_seconds]
    numbers = (
        *(len(runs), sum(bool(run.failure) for run in runs), sum(run.sent for run in runs)),
        *(account.delivered, account.told, account.unsaid, account.doubled, account.reordered, account.wrong),
        *(posts.acked, posts.missing + posts.misplaced, posts.denied, posts.doubled + posts.reordered),
    )
    recovery = (f"{statistics.median(seconds):.2f} s", f"{max(seconds):.2f} s") if seconds else ("-", "-")
    return name, *map(str, numbers), *recovery

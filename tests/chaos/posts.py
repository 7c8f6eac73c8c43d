"""What publishers were told of every message, against what the stream holds in the end.

A message that was told to be stored is in the stream, once, where that was said; one that was told not to be is not;
and what one publisher sent, message after message, is there in that order. Else the run has failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chaos.ledger import Counts


@dataclass(slots=True)
class Post:
    """One message of a publisher: no other has its ``payload``.

    ``stream`` is which of the streams, made one after the other, was there when it was begun. ``sequence`` is where it
    is stored, as it was told; ``refused`` why it is not, where that was the last word, and ``unsure`` says that
    some attempt ended without a word.
    """

    payload: bytes
    stream: int = 0
    sequence: int | None = None
    refused: str = ""
    unsure: bool = False


@dataclass
class PostAccount(Counts):
    """``acked`` and ``refused`` were told; ``gone`` went with a purge or with a stream.

    ``missing``: told to be stored, and is not there; ``misplaced``: is elsewhere; ``denied``: told not to be stored,
    and is there; ``doubled`` and ``reordered`` in the stream.
    """

    acked: int = 0
    refused: int = 0
    gone: int = 0
    missing: int = 0
    misplaced: int = 0
    denied: int = 0
    doubled: int = 0
    reordered: int = 0

    @property
    def good(self) -> bool:
        return not (self.missing or self.misplaced or self.denied or self.doubled or self.reordered)


def account_posts(posts: Iterable[Post], held: Mapping[int, bytes], stream: int, first: int) -> PostAccount:
    """What became of the ``posts`` of one publisher, who began each when it had been told of the one before.

    ``held`` is what the last ``stream`` has, by sequence, ``first`` its oldest sequence.
    """
    account = PostAccount()
    times = Counter(held.values())
    places = {payload: sequence for sequence, payload in held.items()}
    last = 0
    for post in posts:
        place = places.get(post.payload)
        account.doubled += times[post.payload] > 1
        if post.refused:
            account.refused += 1
            account.denied += place is not None and not post.unsure
        elif post.sequence is not None:
            account.acked += 1
            if place is None:
                gone = post.stream < stream or post.sequence < first
                account.gone += gone
                account.missing += not gone
            elif post.stream == stream:
                account.misplaced += place != post.sequence
        if place is not None and times[post.payload] == 1:
            account.reordered += place < last
            last = max(last, place)
    return account

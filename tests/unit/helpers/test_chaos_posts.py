"""What the chaos suite finds out about publishers."""

from __future__ import annotations

import pytest

from chaos.posts import Post, PostAccount, account_posts

HELD = {5: b"e", 6: b"f", 7: b"g"}


def account(*posts: Post, stream: int = 0, **held: bytes) -> PostAccount:
    return account_posts(posts, {**HELD, **{int(key[1:]): payload for key, payload in held.items()}}, stream, 5)


def test_all_is_well() -> None:
    posts = Post(b"e", sequence=5), Post(b"x", refused="stream_full"), Post(b"f", unsure=True, sequence=6), Post(b"y")
    assert account(*posts) == PostAccount(acked=2, refused=1)
    assert account(*posts).good


@pytest.mark.parametrize(
    ("post", "fault"),
    [
        (Post(b"z", sequence=6), PostAccount(acked=1, missing=1)),
        (Post(b"f", sequence=7), PostAccount(acked=1, misplaced=1)),
        (Post(b"f", refused="stream_full"), PostAccount(refused=1, denied=1)),
    ],
)
def test_a_planted_fault(post: Post, fault: PostAccount) -> None:
    assert account(post) == fault
    assert not fault.good


def test_twice_in_the_stream() -> None:
    assert account(Post(b"e", sequence=5), s8=b"e") == PostAccount(acked=1, misplaced=1, doubled=1)
    assert account(Post(b"e", unsure=True), s8=b"e") == PostAccount(doubled=1), "whatever was told"


def test_out_of_order() -> None:
    found = account(Post(b"f", sequence=6), Post(b"e", sequence=5), Post(b"g", sequence=7))
    assert found == PostAccount(acked=3, reordered=1)
    assert not found.good


def test_what_went_with_a_purge_or_a_stream() -> None:
    assert account(Post(b"a", sequence=4)) == PostAccount(acked=1, gone=1)
    assert account(Post(b"a", sequence=9), stream=1) == PostAccount(acked=1, gone=1)
    assert account(Post(b"a", stream=1, sequence=9), stream=1) == PostAccount(acked=1, missing=1)
    assert account(Post(b"e", sequence=9), stream=1).good, "sent again, to the new one"


def test_they_add_up() -> None:
    assert sum([account(Post(b"e", sequence=5))] * 2, PostAccount()) == PostAccount(acked=2)

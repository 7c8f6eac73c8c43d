"""Tokens known to be good: for how long, and how many."""

from __future__ import annotations

from wsgw.access import tokencache
from wsgw.access.identity import Identity
from wsgw.access.rights import NO_RIGHTS
from wsgw.access.tokencache import TokenCache


def identity(expires_at: float | None = None) -> Identity:
    return Identity("ann", NO_RIGHTS, {}, expires_at)


def test_until_it_expires() -> None:
    cache, ann, ever = TokenCache(), identity(10.0), identity()
    cache.put("a", ann)
    cache.put("b", ever)
    assert cache.get("a", 9.9) is ann
    assert cache.get("a", 10.0) is None
    assert cache.get("a", 9.9) is None
    assert cache.get("b", 1e12) is ever
    assert cache.get("c", 0) is None
    cache.clear()
    assert cache.get("b", 0) is None
    assert len(cache) == 0


def test_as_many_as_there_may_be_and_those_asked_for_last() -> None:
    cache = TokenCache()
    for i in range(tokencache.MAX_TOKENS):
        cache.put(str(i), identity())
    assert cache.get("0", 0) is not None
    cache.put("more", identity())
    assert len(cache) == tokencache.MAX_TOKENS
    assert cache.get("0", 0) is not None
    assert cache.get("1", 0) is None


def test_as_many_bytes_as_there_may_be() -> None:
    cache, size = TokenCache(), 16 * 1024
    for _ in range(2):  # the same ones again take no more
        for i in range(tokencache.MAX_BYTES // size):
            cache.put(f"{i:0{size}}", identity())
    assert len(cache) == tokencache.MAX_BYTES // size
    cache.put("x", identity())
    assert len(cache) == tokencache.MAX_BYTES // size
    assert cache.get(f"{0:0{size}}", 0) is None
    assert cache.get("x", 0) is not None


def test_what_is_forgotten_makes_room() -> None:
    cache, size = TokenCache(), 16 * 1024
    for _ in range(2):
        cache.clear()
        for i in range(tokencache.MAX_BYTES // size):
            cache.put(f"{i:0{size}}", identity())
        assert len(cache) == tokencache.MAX_BYTES // size


def test_whatever_a_token_is() -> None:
    cache = TokenCache()
    assert cache.get("\ud800", 0) is None


def test_what_expires_makes_room() -> None:
    cache, size = TokenCache(), 16 * 1024
    for i in range(tokencache.MAX_BYTES // size):
        cache.put(f"{i:0{size}}", identity(1.0))
        assert cache.get(f"{i:0{size}}", 2.0) is None
    cache.put("a", identity())
    for i in range(tokencache.MAX_BYTES // size - 1):
        cache.put(f"{i:0{size}}", identity())
    assert cache.get("a", 0) is not None


def test_tokens_are_not_kept() -> None:
    cache = TokenCache()
    cache.put("secret", identity())
    assert "secret" not in repr(cache._found)

"""Publishes as NATS' lines."""

from __future__ import annotations

from wsgw.broker.lines import publishes, publishes_each


def test_publishes() -> None:
    made = b"".join(publishes("a.b", "", b"", [b"x", b"", b"yy", b"zz"], [1, 0, 2, 2]))
    assert made == b"PUB a.b 1\r\nx\r\nPUB a.b 0\r\n\r\nPUB a.b 2\r\nyy\r\nPUB a.b 2\r\nzz\r\n"


def test_replies_and_headers() -> None:
    assert b"".join(publishes("a", "r", b"", [b"x"], [1])) == b"PUB a r 1\r\nx\r\n"
    assert b"".join(publishes("a", "r", b"HEAD", [b"x"], [5])) == b"HPUB a r 4 5\r\nHEADx\r\n"


def test_what_looks_like_a_place_for_a_size() -> None:
    assert b"".join(publishes("a%d", "r%b", b"H%d", [b"%s"], [5])) == b"HPUB a%d r%b 3 5\r\nH%d%s\r\n"


def test_each_with_its_own() -> None:
    made = b"".join(publishes_each("a", [("r1", b"HE", b"x"), ("r2", b"HEA", b"")]))
    assert made == b"HPUB a r1 2 3\r\nHEx\r\nHPUB a r2 3 3\r\nHEA\r\n"

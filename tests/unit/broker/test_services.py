"""Errors by which services reply: when a reply is one, and what is passed on of it."""

from __future__ import annotations

import pytest

from wsgw.broker import services
from wsgw.broker.delivery import FullPublication
from wsgw.broker.services import ServiceError, check
from wsgw.errors import SERVICE_ERROR
from wsgw.fanout.publication import NO_HEADERS, Publication


def reply(*lines: str) -> Publication:
    block = "\r\n".join(["NATS/1.0", *lines, "", ""]).encode()
    return FullPublication("a", b"payload", 0.0, b"", block)


def error_in(*lines: str) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        check(reply(*lines))
    return caught.value


@pytest.mark.parametrize(
    "good",
    [
        Publication("a", b"Nats-Service-Error: x", 0.0),
        reply(),
        reply("A: b"),
        reply("nats-service-error: x", "NATS-SERVICE-ERROR-CODE: 500"),
        FullPublication("a", b"", 0.0, b"answer.here", b""),
        FullPublication("a", b"", 0.0, b"", b"Nats-Service-Error: x"),
    ],
)
def test_what_is_none(good: Publication) -> None:
    """NATS tells upper from lower case, and what is no header block says nothing."""
    check(good)


def test_an_error() -> None:
    error = error_in("Nats-Service-Error: no such order", "Nats-Service-Error-Code: 404", "A: b")
    assert error.kind is SERVICE_ERROR
    assert (error.message, error.code, error.http_status) == ("no such order", "404", 404)
    assert error.headers["A"] == ("b",)
    assert error.as_json() == {"error": {"code": "service_error", "message": "no such order", "service_code": "404"}}


@pytest.mark.parametrize(
    ("lines", "message", "code"),
    [
        (("Nats-Service-Error-Code: 7",), SERVICE_ERROR.summary, "7"),
        (("Nats-Service-Error:", "Nats-Service-Error-Code: 7"), SERVICE_ERROR.summary, "7"),
        (("Nats-Service-Error: no",), "no", ""),
        (("Nats-Service-Error: no", "Nats-Service-Error-Code:"), "no", ""),
        (("Nats-Service-Error: a", "Nats-Service-Error: b", "Nats-Service-Error-Code: 1"), "a", "1"),
    ],
)
def test_half_of_it_is_one_too(lines: tuple[str, ...], message: str, code: str) -> None:
    error = error_in(*lines)
    assert (error.message, error.code) == (message, code)
    assert ("service_code" in error.as_json()["error"]) is bool(code)
    assert error.http_status == 502


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("400", 400),
        ("422", 422),
        ("503", 503),
        ("599", 599),
        ("399", 502),
        ("600", 502),
        ("200", 502),
        ("0", 502),
        ("-400", 502),
        ("4000", 502),
        ("404 ", 502),
        ("٤٠٤", 502),
        ("E404", 502),
        ("404\n", 502),
        *((str(status), 502) for status in services.NOT_PASSED_ON),
    ],
)
def test_status(code: str, status: int) -> None:
    assert ServiceError(code, "").http_status == status


def test_what_asks_again_by_itself_is_not_passed_on() -> None:
    assert {407, 408, 421, 425} < services.NOT_PASSED_ON


def test_what_is_passed_on_is_bounded_and_harmless() -> None:
    error = ServiceError("9" * 10_000, "x" * 10_000)
    assert (error.code, error.message) == ("9" * services.MAX_CODE_CHARS, "x" * services.MAX_TEXT_CHARS)
    error = ServiceError("\x1b[2J" * 10_000, "a\r\nb\x1b[31m\u2028" * 10_000)
    assert (len(error.code), len(error.message)) == (services.MAX_CODE_CHARS, services.MAX_TEXT_CHARS)
    for text in (error.code, error.message):
        assert text.isprintable()
    assert error.message.startswith("a\\r\\nb\\x1b[31m\\u2028a")
    assert ServiceError("", "").headers is NO_HEADERS

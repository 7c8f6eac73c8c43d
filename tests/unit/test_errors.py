"""The table of errors: names and codes that clients rely on."""

from __future__ import annotations

from wsgw import closecodes, errors
from wsgw.errors import CLOSE_CODES, FORBIDDEN, KINDS, ConfigError, GatewayError, Kind, WsgwError

#: What servers send of the codes that have a meaning of their own.
ALLOWED = {
    closecodes.GOING_AWAY,
    closecodes.INVALID_DATA,
    closecodes.POLICY_VIOLATION,
    closecodes.TOO_BIG,
    closecodes.INTERNAL_ERROR,
    closecodes.SERVICE_RESTART,
    closecodes.TRY_AGAIN_LATER,
}


def test_the_table_is_complete() -> None:
    assert {value for value in vars(errors).values() if isinstance(value, Kind)} == set(KINDS)
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        assert vars(errors)[kind.name.upper()] is kind


def test_codes_have_the_classes_that_the_protocols_give_them() -> None:
    for kind in KINDS:
        assert 400 <= kind.http_status <= 599
        assert kind.close_code in CLOSE_CODES
        # RFC 6455 section 7.4: what may stand in a close frame, and the private range
        assert kind.close_code in ALLOWED or 4000 <= kind.close_code <= 4999


def test_what_passes() -> None:
    assert {kind.name for kind in KINDS if kind.passes} == {
        "channel_changed",
        "request_timeout",
        "nats_unavailable",
        "unconfirmed",
        "maybe_stored",
        "not_stored",
        "stream_full",
        "stream_unavailable",
        "no_responders",
        "timeout",
        "too_many_subjects",
        "too_many_sessions",
        "too_many_connections",
        "rate_limited",
        "slow_consumer",
        "overloaded",
        "no_files",
        "no_memory",
        "draining",
        "gap",
        "token_expired",
        "auth_unavailable",
    }


def test_as_json() -> None:
    error = GatewayError(FORBIDDEN, "no")
    assert error.as_json() == {"error": {"code": "forbidden", "message": "no"}}
    assert str(error) == "no"
    assert error.http_status == 403
    assert isinstance(error, WsgwError)
    assert issubclass(ConfigError, WsgwError)

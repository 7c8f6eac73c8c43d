"""Log lines byte for byte as the original tools print them."""

from __future__ import annotations

import io
import json
import logging

import pytest

from wsgw import __version__
from wsgw.log import LEVELS, JsonFormatter, PlainFormatter, level_name, setup, timestamp

pytestmark = pytest.mark.usefixtures("restore_logging")

AT = 1772961366.373  # 2026-03-08T09:16:06.373Z


def record(level: int, text: str) -> logging.LogRecord:
    made = logging.LogRecord("wsgw.x", level, "", 0, text, None, None)
    made.created = AT
    return made


def test_plain() -> None:
    line = PlainFormatter("wsgw@1.2.3").format(record(logging.INFO, "App runs the jobs..."))
    assert line == "2026-03-08T09:16:06.373Z [wsgw@1.2.3] info: App runs the jobs..."


def test_json() -> None:
    line = JsonFormatter("wsgw@1.2.3").format(record(logging.WARNING, 'say "é"\n'))
    assert line == (
        '{"label":"wsgw@1.2.3","level":"warn","message":"say \\"é\\"\\n","timestamp":"2026-03-08T09:16:06.373Z"}'
    )


def test_colour_only_where_asked_for() -> None:
    assert "\x1b[31merror\x1b[39m: " in PlainFormatter("x", colour=True).format(record(logging.ERROR, "m"))
    assert "\x1b" not in PlainFormatter("x").format(record(logging.ERROR, "m"))


def test_exceptions_are_told() -> None:
    try:
        int("why")
    except ValueError as error:
        made = record(logging.ERROR, "it failed")
        made.exc_info = (ValueError, error, error.__traceback__)
    plain = PlainFormatter("x").format(made)
    assert "it failed\nTraceback" in plain
    assert plain.endswith("literal for int() with base 10: 'why'")
    assert json.loads(JsonFormatter("x").format(made))["message"].endswith("literal for int() with base 10: 'why'")


def test_levels() -> None:
    assert list(LEVELS) == ["error", "warn", "info", "verbose", "debug", "silly"]
    for name, number in LEVELS.items():
        assert level_name(number) == name
        assert level_name(number + 1) == name
    assert level_name(logging.CRITICAL) == "error"
    assert level_name(0) == "silly"


def test_timestamp_has_milliseconds_always() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(AT) == "2026-03-08T09:16:06.373Z"


@pytest.mark.parametrize("level", LEVELS)
def test_setup(level: str) -> None:
    out = io.StringIO()
    setup("easer", level, "json", out)
    log = logging.getLogger("wsgw.anything")
    for name, number in LEVELS.items():
        log.log(number, "%s", name)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["level"] for line in lines] == list(LEVELS)[: list(LEVELS).index(level) + 1]
    assert {line["label"] for line in lines} == {f"easer@{__version__}"}


def test_setup_twice_prints_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    setup("wsgw", "info", "plainText", first)
    setup("wsgw", "info", "plainText", second)
    logging.getLogger("wsgw.x").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_libraries_tell_only_what_is_wrong() -> None:
    out = io.StringIO()
    setup("wsgw", "silly", "plainText", out)
    for library in ("uvicorn.error", "websockets.server", "nats.aio.client", "asyncio"):
        logging.getLogger(library).warning("noise")
        logging.getLogger(library).error("trouble of %s", library)
    assert "noise" not in out.getvalue()
    assert out.getvalue().count("trouble") == 4

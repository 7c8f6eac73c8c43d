"""Log lines byte for byte as the original tools print them."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

import pytest

from wsgw import __version__
from wsgw.log import LEVELS, JsonFormatter, PlainFormatter, escaped, level_name, say_at_once, setup, timestamp

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
    assert "it failed\n    Traceback" in plain
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


#: What must not reach a terminal as it is, and how it is shown.
HARMFUL = {
    "a\r\n2026-03-08T09:16:06.373Z [wsgw@1] error: FORGED": r"a\r\n2026-03-08T09:16:06.373Z [wsgw@1] error: FORGED",
    "\x1b[31mred\x1b]0;title\x07": r"\x1b[31mred\x1b]0;title\x07",
    "\x00\x08\x7f\x85\x9b31m": r"\x00\x08\x7f\x85\x9b31m",
    "a\u2028b\u2029c": r"a\u2028b\u2029c",
    "\u202egnp.exe\u2066\u2069\u200f": r"\u202egnp.exe\u2066\u2069\u200f",
    "half \ud83d\udc80"[:6]: r"half \ud83d",
}


@pytest.mark.parametrize(("text", "shown"), HARMFUL.items(), ids=ascii)
@pytest.mark.parametrize("level", LEVELS.values())
def test_a_message_is_one_harmless_line(text: str, shown: str, level: int) -> None:
    made = record(level, "no channel %s")
    made.args = (text,)
    line = PlainFormatter("x").format(made)
    assert line.endswith(f": no channel {shown}")
    line.encode()


@pytest.mark.parametrize("text", HARMFUL, ids=ascii)
def test_json_is_harmless_and_says_what_it_was(text: str) -> None:
    line = JsonFormatter("x").format(record(logging.INFO, text))
    assert escaped(line) == line
    assert json.loads(line)["message"] in (text, "half \\ud83d")  # JSON of a half is none


@pytest.mark.parametrize("text", ["plain", "übel 日本語 🙂 👩\u200d👩", "C:\\n", "", "a\xa0b"])
def test_other_text_is_as_it_is(text: str) -> None:
    assert escaped(text) == text


def test_a_line_break_at_the_end_is_dropped() -> None:
    assert PlainFormatter("x").format(record(logging.INFO, "Exception in ASGI application\n")).endswith("application")


def failed(text: str) -> logging.LogRecord:
    """A record with the traceback of an exception that says ``text``."""
    try:
        int(text)
    except ValueError:
        made = record(logging.ERROR, "it failed")
        error = ValueError(text).with_traceback(sys.exc_info()[2])
        made.exc_info = (ValueError, error, error.__traceback__)
    return made


@pytest.mark.parametrize("formatter", [PlainFormatter, JsonFormatter])
def test_no_line_of_a_traceback_can_be_taken_for_one_of_the_log(formatter: type[PlainFormatter]) -> None:
    made = failed("bad\n2026-03-08T09:16:06.373Z [wsgw@1] error: FORGED\x1b[2J\u2028\r2026")
    text = formatter("x").format(made)
    message = json.loads(text)["message"] if text.startswith("{") else text
    first, *others = message.splitlines()
    assert first.endswith("it failed")
    assert len(others) > 3
    assert all(line.startswith("    ") and escaped(line) == line for line in others)


def test_what_is_long_is_cut() -> None:
    line = PlainFormatter("x").format(record(logging.INFO, "a" * 9000))
    assert line.endswith("a… (808 characters more)")
    assert line.count("a") == 8192 + 2
    made = failed("\n".join(["b" * 100_000] * 100))
    for text in (PlainFormatter("x").format(made), JsonFormatter("x").format(made)):
        assert len(text) < 70_000
        assert "(91808 characters more)" in text


@pytest.mark.parametrize("text", [*HARMFUL, "a" * 9000])
def test_a_log_that_is_what_was_asked_for_is_as_it_is(text: str) -> None:
    out = io.StringIO()
    setup("wsgw", "info", "plainText", out, verbatim=True)
    logging.getLogger("wsgw.x").info("%s", text)
    assert out.getvalue().endswith(f" info: {text}\n")


class TestAtOnce:
    """What is said by somebody who may wait for nothing."""

    @pytest.fixture
    def pipe(self) -> Iterator[tuple[int, TextIO]]:
        reading, writing = os.pipe()
        with open(writing, "w") as stream:
            yield reading, stream
        os.close(reading)

    def test_it_is_a_line_of_the_log(self, pipe: tuple[int, TextIO]) -> None:
        reading, stream = pipe
        setup("wsgw", "error", "json", stream)
        say_at_once("the end\n")
        line = json.loads(os.read(reading, 65_536))
        assert (line["level"], line["message"]) == ("error", "the end\n")

    def test_nobody_is_waited_for(self, pipe: tuple[int, TextIO]) -> None:
        """Not for the log's lock, and not for a reader."""
        reading, stream = pipe
        setup("wsgw", "error", "plainText", stream)
        (handler,) = logging.getLogger().handlers
        held, over = threading.Event(), threading.Event()

        def hold() -> None:
            handler.acquire()
            held.set()
            over.wait()
            handler.release()

        threading.Thread(target=hold).start()
        held.wait()
        say_at_once("x" * 10_000)
        over.set()
        assert len(os.read(reading, 65_536)) == 4096
        os.set_blocking(stream.fileno(), False)
        with suppress(BlockingIOError):
            while True:
                os.write(stream.fileno(), bytes(4096))
        os.set_blocking(stream.fileno(), True)
        say_at_once("lost")

    def test_no_file(self) -> None:
        setup("wsgw", "error", "plainText", io.StringIO())
        say_at_once("lost")

"""Standard output and standard error, also where they are closed, full, or nobody reads them any more."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Output(io.FileIO):
    """Standard output or standard error of ``program``, by its number.

    What cannot be written is lost and counts as written: to whoever prints, nothing fails. ``lost`` is called with the
    error, and decides by raising SystemExit or not whether the program goes on.
    """

    def __init__(self, number: int, program: str) -> None:
        super().__init__(number, "wb", closefd=False)
        self.program = program
        self.lost: Callable[[OSError], None] = self.go_on

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            written: int | None = super().write(data)
        except OSError as error:
            self.lost(error)
        else:
            if written is not None:
                return written
            # it is non-blocking, and full: somebody else made it so for all who have it
            self.lost(BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)))
        return memoryview(data).nbytes

    def go_on(self, error: OSError) -> None:
        """Go on as if nothing had happened."""

    def end(self, error: OSError) -> None:
        """End the program with code 1, and say why on standard error unless a reader went away: that is how it ends."""
        self.lost = self.go_on
        if not isinstance(error, BrokenPipeError):
            self._complain(error, "")
        raise SystemExit(1)

    def go_on_with_a_word(self, error: OSError) -> None:
        """Go on, and say so once on standard error, unless there was no standard output from the start: as wished."""
        self.lost = self.go_on
        if error.errno != errno.EBADF:
            self._complain(error, "; the gateway runs on, and log lines are lost")

    def _complain(self, error: OSError, outcome: str) -> None:
        reason = "it is closed" if error.errno == errno.EBADF else error.strerror
        print(f"{self.program}: cannot write to standard output: {reason}{outcome}", file=sys.stderr)


def install(program: str) -> None:
    """Let ``program`` end with code 1 when it cannot write to standard output; standard error may be lost.

    For a program's start, before it opens anything.
    """
    _open_the_closed()
    output, errors = Output(1, program), Output(2, program)
    output.lost = output.end
    sys.stdout = _text(output, sys.stdout, by_line=output.isatty())
    sys.stderr = _text(errors, sys.stderr, by_line=True)


def run_on() -> None:
    """From now on the program goes on when it cannot write to standard output."""
    output = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    # a test has another standard output
    if isinstance(output, Output):
        output.lost = output.go_on_with_a_word


def _open_the_closed() -> None:
    # else the first sockets opened would be standard output and standard error
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # a standard output that cannot be written, as it was
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)


def _text(output: Output, before: TextIO | None, by_line: bool) -> TextIO:
    # None: it was closed when Python started
    encoding = "utf-8" if before is None else before.encoding
    # a terminal that cannot show a character gets its escape
    return io.TextIOWrapper(
        io.BufferedWriter(output), encoding=encoding, errors="backslashreplace", line_buffering=by_line
    )

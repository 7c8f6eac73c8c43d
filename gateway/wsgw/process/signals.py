"""Signals, and the end of a stop that does not come to one: a thread that needs nothing of the event loop.

How a stop is made to end, whatever stands still:

- The signals are blocked in all threads but this one, which waits for them in ``sigtimedwait``, as init programs do. A
  handler, of the loop or of Python, runs in the main thread, so not while that waits in C; this thread runs while the
  main one is in an endless loop, waits for a lock or a disk, or writes to a full pipe.
- It hands a stop to the loop and starts a clock. When that has run out it writes a line past the log's locks, and ends
  the process by ``os._exit``: no ``finally``, no exit handler, nothing that could wait.
- It needs the interpreter's lock. For a loop in C that never gives it up (``any(itertools.repeat(0))``) there is a
  timer of the kernel, set anew every BEAT_SECONDS, that runs out after STANDSTILL_SECONDS of CPU time. Not of the
  clock, as faulthandler's: a container that is paused and goes on must not be ended by it. Its signal's handler is
  libc's ``_exit`` itself, for as the first process of a container we have no default actions. It cannot know of a stop,
  but who has been standing still for so long is no gateway any more either. Once a stop is known another timer runs,
  by the clock, for what holds the lock and does not use the CPU.
"""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import math
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from wsgw.log import say_at_once

#: A stop may take this much longer than it is meant to. The bounds of its parts add up to less: see ``gatewayserver``.
REST_SECONDS = 2.0
#: The exit code where a stop had to be forced (EX_SOFTWARE of sysexits.h).
FORCED_CODE = 70
#: CPU time without a moment for any other thread, after which the process is ended.
STANDSTILL_SECONDS = 6.0
#: The exit codes where not even the interpreter had a part in the end: the kernel's timers' signals, by CPU time (27)
#: and, in a stop, by the clock (14).
STANDSTILL_CODES = (int(signal.SIGPROF), int(signal.SIGALRM))
BEAT_SECONDS = 1.0
#: How much of where the main thread stands is told.
FRAMES = 4

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_STANDARD_ERROR = 2


class Signals:
    """While it is entered, by the main thread and before others are started, SIGTERM, SIGINT and SIGHUP are its own.

    SIGHUP is for ``reload``, and without one for a stop. A second SIGINT ends the process at once. Processes that are
    started meanwhile inherit the blocked signals; the gateway starts none.
    """

    def __init__(self, stop_seconds: float, reload: Callable[[], None] | None = None) -> None:
        """``stop_seconds`` is what a stop is meant to take."""
        self._limit_seconds = stop_seconds + REST_SECONDS
        self._reload = reload
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], None] = lambda: None
        self._came: deque[int] = deque()  # and not told yet
        self._until = math.inf  # a stop may go on
        self._interrupts = 0
        self._closing = False
        self._main = threading.main_thread().ident or 0
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)

    def __enter__(self) -> Self:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        # a thread of earlier times may not block them, and the kernel choose that one; Python then runs this
        self._handlers = {number: signal.signal(number, lambda came, _: self._take(came)) for number in _SIGNALS}
        _exit_on_standstill()
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._closing = True
        signal.pthread_kill(self._thread.ident or 0, signal.SIGHUP)  # it does not end without, so it is there
        self._thread.join()
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        while signal.sigtimedwait(_SIGNALS, 0) is not None:
            pass  # a late one, which would end the process when it is let in
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def attend(self, stop: Callable[[], None]) -> None:
        """From now on ``stop`` is called in the running loop when a signal asks for it, also one that came before."""
        self._loop, self._stop = asyncio.get_running_loop(), stop
        self._tell()

    # -- the thread, but for signals that a handler was run for

    def _watch(self) -> None:
        while True:
            signal.setitimer(signal.ITIMER_PROF, STANDSTILL_SECONDS)
            left = self._until - time.monotonic()
            if left <= 0:
                self._force(f"it took more than {self._limit_seconds:g} s")
            came = signal.sigtimedwait(_SIGNALS, max(0.0, min(BEAT_SECONDS, left)))
            if came is None:
                continue
            if self._closing:
                return
            self._take(came.si_signo)

    def _take(self, number: int) -> None:
        if number != signal.SIGHUP or self._reload is None:
            if self._until == math.inf:
                self._until = time.monotonic() + self._limit_seconds
                signal.setitimer(signal.ITIMER_REAL, self._limit_seconds + BEAT_SECONDS)
            if number == signal.SIGINT:
                self._interrupts += 1
                if self._interrupts > 1:
                    self._force("a second SIGINT")
        self._came.append(number)
        self._tell()

    def _tell(self) -> None:
        loop = self._loop
        while loop is not None and self._came:
            # not in order where both threads are here, which is no matter; gone where the other one was faster
            with suppress(IndexError, RuntimeError):  # the loop has been closed
                number = self._came.popleft()
                loop.call_soon_threadsafe(self._reload if number == signal.SIGHUP and self._reload else self._stop)

    def _force(self, why: str) -> None:
        try:
            say_at_once(f"stop forced: {why}; the main thread is at {self._place()}; exit code {FORCED_CODE}")
        finally:
            os._exit(FORCED_CODE)

    def _place(self) -> str:
        """The innermost frames of the main thread; no source is read."""
        frame = sys._current_frames().get(self._main)
        places: list[str] = []
        while frame is not None and len(places) < FRAMES:
            places.append(f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})")
            frame = frame.f_back
        return ", called by ".join(places)


def _exit_on_standstill() -> None:
    """Let the timers' signals write all threads' tracebacks to standard error and end the process, in C."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    for number in STANDSTILL_CODES:
        libc.signal(number, ctypes.cast(libc._exit, ctypes.c_void_p))  # called with the number, so that is the code
        faulthandler.register(number, file=_STANDARD_ERROR, all_threads=True, chain=True)

"""What NATS services say of channels with ``authorize``: which client may use which name, and for how long.

A question is asked once for all clients of whom the same would be asked, and its answer is kept for the time that it
says. As long as somebody is subscribed by an answer it is asked again when that time ends.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

import orjson

from wsgw.broker.broker import Broker
from wsgw.broker.services import ServiceError, check
from wsgw.core.question import Decision, Key, Question
from wsgw.errors import AUTH_UNAVAILABLE, DRAINING, FORBIDDEN, NATS_UNAVAILABLE, UNCONFIRMED, GatewayError, Kind
from wsgw.log import escaped
from wsgw.shares.asking import Asking
from wsgw.shares.kept import Kept
from wsgw.shares.repeats import Repeats
from wsgw.shares.slices import Slices, one_by_one

log = logging.getLogger("wsgw.access")

#: Questions that are under way at a time, and that wait for their turn.
MOST_AT_ONCE, MOST_WAITING = 256, 10_000
#: Answers that are kept, and what one takes in memory, beside its name and its words.
MAX_KEPT, MAX_KEPT_BYTES, KEPT_BYTES = 100_000, 64 * 1024 * 1024, 500
#: How long a client may do what an answer allows: where that does not say, at least, and at most.
USUAL_SECONDS, LEAST_SECONDS, MOST_SECONDS = 60.0, 1.0, 3600.0
#: How long nobody asks again after a denial, and after a failure; and about who is subscribed, where NATS is away.
DENIED_SECONDS, FAILED_SECONDS, AWAY_SECONDS = 2.0, 1.0, 3.0
#: Who is subscribed is asked about in the last part of the time, so that not all are at once.
SPREAD_SHARE = 0.15
MAX_ANSWER_BYTES = 64 * 1024
MAX_INFO_CHARS = 256
MAX_REASON_CHARS = 300
LOG_PERIOD_SECONDS = 60.0

_REFUSING_CODES = ("401", "403")


class Watcher(Protocol):
    """Somebody who does what an answer allows."""

    def denied(self, question: Question, decision: Decision) -> None:
        """What it watches by ``question``, the object that it gave, is not allowed any more."""


class _Watch:
    """Those who are subscribed by the answer to one question, and when that is asked again."""

    __slots__ = ("answer", "failed", "question", "timer", "watchers")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.watchers: dict[Watcher, Question] = {}  # each with its own, which is how it knows what it is told of
        self.timer: asyncio.TimerHandle | None = None
        self.answer: asyncio.Future[Decision] | None = None
        self.failed = False  # the last time; the next one counts

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.answer is not None:
            self.answer.cancel()


class Permits:
    """Needs a running loop; ``close`` it while the broker is connected still."""

    def __init__(self, broker: Broker, slices: Slices) -> None:
        self._broker = broker
        self._slices = slices
        self._loop = asyncio.get_running_loop()
        self._kept: Kept[Key, Decision] = Kept(MAX_KEPT, MAX_KEPT_BYTES, self._loop.time)
        self._asking: Asking[Key, Question, Decision] = Asking(self._ask, self._unasked, MOST_AT_ONCE, MOST_WAITING)
        # those about who is subscribed are as many as are: none is to be denied because others' questions wait
        self._renewing: Asking[Key, Question, Decision] = Asking(self._ask, self._unasked, MOST_AT_ONCE, sys.maxsize)
        self._watches: dict[Key, _Watch] = {}
        self._repeats = Repeats(log, LOG_PERIOD_SECONDS, time.monotonic)
        self._closed = False

    def known(self, question: Question) -> Decision | None:
        """The answer, where it need not be waited for."""
        return self._kept.get(question.key)

    def ask(self, question: Question) -> asyncio.Future[Decision]:
        """The answer; the future is the caller's own, to be cancelled, and raises nothing."""
        return self._asking.ask(question.key, question)

    def watch(self, question: Question, decision: Decision, watcher: Watcher) -> None:
        """``watcher`` does what ``decision`` allows, and is told when that is so no more."""
        watch = self._watches.get(question.key)
        if watch is None:
            watch = self._watches[question.key] = _Watch(question)
            self._ask_again(watch, decision.until - self._loop.time())
        watch.watchers[watcher] = question

    def unwatch(self, question: Question, watcher: Watcher) -> None:
        """Undo ``watch``; harmless without it."""
        watch = self._watches.get(question.key)
        if watch is not None:
            watch.watchers.pop(watcher, None)
            if not watch.watchers:
                watch.stop()
                del self._watches[question.key]

    async def close(self) -> None:
        """Ask nobody any more; who waits for an answer is refused at once (draining)."""
        self._closed = True
        for watch in self._watches.values():
            watch.stop()
        self._watches.clear()
        await self._renewing.close()
        await self._asking.close()

    # -- inside

    async def _ask(self, question: Question) -> Decision:
        authorize = question.authorize
        try:
            reply = await self._broker.inquire(authorize.subject, question.as_json(), authorize.timeout_seconds)
            check(reply)
        except ServiceError as error:
            if error.code in _REFUSING_CODES:
                decision = self._decision(FORBIDDEN, error.message[:MAX_INFO_CHARS], DENIED_SECONDS)
            else:
                decision = self._failed(f"{authorize.subject} replies with an error {error.code}: {error.message}")
        except GatewayError as error:
            if error.kind in (NATS_UNAVAILABLE, UNCONFIRMED):  # nothing about the service
                return self._decision(NATS_UNAVAILABLE, NATS_UNAVAILABLE.summary, 0)
            decision = self._failed(f"{authorize.subject} cannot be asked: {error.message}")
        else:
            try:
                decision = self._read(reply.payload)
            except ValueError as error:
                decision = self._failed(f"{authorize.subject} answers what cannot be used: {error}")
        size = KEPT_BYTES + 2 * len(question.name) + 2 * len(decision.words)
        self._kept.put(question.key, decision, decision.until - self._loop.time(), size)
        return decision

    def _read(self, answer: bytes) -> Decision:
        """What ``{"allow": true, "ttl": s, "info": …}`` says; raises ValueError."""
        if len(answer) > MAX_ANSWER_BYTES:
            raise ValueError(f"more than {MAX_ANSWER_BYTES} bytes")
        try:
            said = orjson.loads(answer)
        except orjson.JSONDecodeError:
            raise ValueError("no JSON") from None
        if not isinstance(said, dict) or not isinstance(said.get("allow"), bool):
            raise ValueError("allow is not true or false")  # noqa: TRY004  bad input, not a fault
        info, ttl = said.get("info"), said.get("ttl")
        if not said["allow"]:
            words = escaped(info[:MAX_INFO_CHARS])[:MAX_INFO_CHARS] if isinstance(info, str) else ""
            return self._decision(FORBIDDEN, words, DENIED_SECONDS)
        if ttl is None:
            ttl = USUAL_SECONDS
        if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not math.isfinite(ttl) or ttl < 0:
            raise ValueError("ttl is no number of seconds")
        return self._decision(None, "", min(max(ttl, LEAST_SECONDS), MOST_SECONDS))

    def _decision(self, refusal: Kind | None, words: str, seconds: float) -> Decision:
        return Decision(refusal, words, self._loop.time() + seconds)

    def _failed(self, why: str) -> Decision:
        self._repeats.say(logging.ERROR, f"authorize: {why[:MAX_REASON_CHARS]}", "; what is asked about is denied")
        return self._decision(AUTH_UNAVAILABLE, AUTH_UNAVAILABLE.summary, FAILED_SECONDS)

    def _unasked(self, why: str) -> Decision:
        if self._closed:
            return self._decision(DRAINING, why, 0)
        return self._failed(why)

    # -- again

    def _ask_again(self, watch: _Watch, seconds: float) -> None:
        delay = max(0.0, seconds) * (1 - SPREAD_SHARE * random.random())  # noqa: S311  no secret
        watch.timer = self._loop.call_later(delay, self._due, watch)

    def _due(self, watch: _Watch) -> None:
        watch.timer = None
        if not self._broker.connected:  # then nothing is brought to anybody either
            self._ask_again(watch, AWAY_SECONDS)
            return
        watch.answer = self._renewing.ask(watch.question.key, watch.question)
        watch.answer.add_done_callback(partial(self._answered_again, watch))

    def _answered_again(self, watch: _Watch, answer: asyncio.Future[Decision]) -> None:
        if answer.cancelled() or self._watches.get(watch.question.key) is not watch:
            return
        watch.answer = None
        decision = answer.result()
        if decision.refusal is None:
            watch.failed = False
            self._ask_again(watch, decision.until - self._loop.time())
        elif decision.refusal is NATS_UNAVAILABLE:  # it went meanwhile
            self._ask_again(watch, AWAY_SECONDS)
        elif decision.refusal is AUTH_UNAVAILABLE and not watch.failed:  # it may have been started anew
            watch.failed = True
            self._ask_again(watch, FAILED_SECONDS)
        else:
            del self._watches[watch.question.key]
            self._slices.queue(one_by_one(list(watch.watchers.items()), _teller(decision)))


def _teller(decision: Decision) -> Callable[[tuple[Watcher, Question]], None]:
    def tell(told: tuple[Watcher, Question]) -> None:
        watcher, question = told
        try:
            watcher.denied(question, decision)
        except Exception:  # one client's fault is not another's
            log.exception("telling a client what it may not do any more failed")

    return tell

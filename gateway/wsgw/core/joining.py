"""One session's names of channels with ``authorize``: those that wait for a word of the service, and those it has."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from wsgw.channels.authorize import Authorize
from wsgw.channels.channel import Use
from wsgw.channels.start import Start
from wsgw.channels.table import shown
from wsgw.core.permits import Permits
from wsgw.core.question import UNKNOWN, Asker, Decision, Question
from wsgw.errors import CHANNEL_CHANGED, FORBIDDEN, GatewayError


class Joins(Protocol):
    """A session."""

    def take(self, name: str, start: Start, authorize: Authorize) -> asyncio.Future[None] | None:
        """Take NATS' interest in ``name``, which ``authorize`` allows; raises GatewayError."""

    def refused(self, name: str, error: GatewayError) -> None:
        """``name``, which is being joined, cannot be."""

    def revoked(self, name: str, error: GatewayError) -> None:
        """It is subscribed to ``name``, and may be no more."""


class Joining:
    """Of one session, as long as it is joined to names of such channels. Implements ``Watcher``."""

    __slots__ = ("_asker", "_has", "_permits", "_session", "_waiting")

    def __init__(self, session: Joins, permits: Permits, asker: Asker) -> None:
        self._session = session
        self._permits = permits
        self._asker = asker
        self._waiting: dict[str, tuple[asyncio.Future[None], asyncio.Future[Decision]]] = {}
        self._has: dict[str, Question] = {}

    def join(self, name: str, start: Start, authorize: Authorize) -> asyncio.Future[None] | None:
        """See ``Receiving.join``: at once where it is known that it may be, or may not; else the future waits for it.

        Nothing happens where ``name`` waits already.
        """
        if name in self._waiting:
            return None
        question = self._asker.question(authorize, Use.SUBSCRIBE, name)
        decision = self._permits.known(question)
        if decision is not None:
            if decision.refusal is not None:
                raise decision.error(question)
            return self._take(question, start, decision)
        joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer = self._permits.ask(question)
        self._waiting[name] = joined, answer
        answer.add_done_callback(partial(self._answered, question, start, joined))
        return joined

    def leave(self, name: str) -> bool:
        """Wait for ``name`` no more, or have it no more; whether it waited."""
        question = self._has.pop(name, None)
        if question is not None:
            self._permits.unwatch(question, self)
        waiting = self._waiting.pop(name, None)
        if waiting is None:
            return False
        joined, answer = waiting
        answer.cancel()
        _done(joined)
        return True

    def names(self) -> list[str]:
        """Those it has."""
        return list(self._has)

    def ask_anew(self, name: str) -> None:
        """The client is another one to who is asked, maybe: then what was said of it before is worth nothing."""
        question = self._has.get(name)
        if question is not None and self._now(question).key != question.key:
            self._permits.unwatch(question, self)
            self._watch(question, UNKNOWN)

    def close(self) -> None:
        """Leave all."""
        for name in [*self._waiting, *self._has]:
            self.leave(name)

    # -- Watcher

    def denied(self, question: Question, decision: Decision) -> None:
        if self._has.get(question.name) is question:
            del self._has[question.name]
            self._session.revoked(question.name, decision.error(question))

    # -- inside

    def _take(self, question: Question, start: Start, decision: Decision) -> asyncio.Future[None] | None:
        ready = self._session.take(question.name, start, question.authorize)
        self._watch(question, decision)
        return ready

    def _watch(self, question: Question, decision: Decision) -> None:
        """Have ``question`` asked again behind ``decision``, or at once where the client is not the same any more."""
        now = self._now(question)
        if now.key != question.key:
            known = self._permits.known(now)
            decision = known if known is not None and known.refusal in (None, FORBIDDEN) else UNKNOWN
        self._has[now.name] = now
        if decision.refusal is None:
            self._permits.watch(now, decision, self)
        else:
            self.denied(now, decision)

    def _now(self, question: Question) -> Question:
        """The same of the client as it is now."""
        return self._asker.question(question.authorize, question.use, question.name)

    def _answered(
        self, question: Question, start: Start, joined: asyncio.Future[None], answer: asyncio.Future[Decision]
    ) -> None:
        if answer.cancelled():
            return
        del self._waiting[question.name]
        if joined.done():  # nobody waits for it any more
            return
        decision = answer.result()
        ready, error = None, None
        if decision.refusal is not None:
            error = decision.error(question)
        else:
            try:
                ready = self._take(question, start, decision)
            except GatewayError as refusal:
                error = refusal.with_traceback(None)  # whose frames have the session
        if error is not None:
            self._session.refused(question.name, error)
        if ready is None:
            _done(joined)
        else:
            ready.add_done_callback(lambda _: _done(joined))
            joined.add_done_callback(lambda _: ready.cancel())


def _done(joined: asyncio.Future[None]) -> None:
    if not joined.done():
        joined.set_result(None)


def changed(name: str) -> GatewayError:
    """Why ``name`` cannot be joined by an answer to what is not asked any more."""
    return GatewayError(CHANNEL_CHANGED, f"channel {shown(name)} is configured otherwise by now")

"""The matrix of rights: every protocol, verb and kind of channel, with every state of a token.

A cell is made of tables and has an expectation of its own; what the client was told is held against it, and what NATS
saw: which messages came, on which subject, and which subjects the gateway was interested in. All cells visit one
gateway at the same time, each as a user of its own.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import product
from typing import Any, NamedTuple

import jwt
import pytest
from nats.aio.msg import Msg

from helpers.nats_server import NatsServer
from helpers.peer import Peer
from helpers.running import Running, running
from helpers.visits import OK, VISITS, Visit
from helpers.waiting import eventually
from wsgw.channels.channel import Use

SECRET = "a secret of the matrix, long enough for HS256"
SHORT_SECONDS = 6


class Kind(NamedTuple):
    """A channel, and what one user calls it; ``subject`` is where that leads, of ``{user}``."""

    channel: dict[str, Any]
    name: str
    subject: str
    uses: tuple[Use, ...] = (Use.SUBSCRIBE, Use.PUBLISH)
    #: the gateway is interested in it for who uses it alone
    follows: bool = True


def _both(name: str, subject: str | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "direction": "both"} | ({} if subject is None else {"subject": subject}) | more


KINDS: dict[str, Kind] = {
    "fixed": Kind(_both("fixed"), "fixed", "fixed", follows=False),
    "pattern": Kind(_both("pattern.*", "rooms.*"), "pattern.{user}", "rooms.{user}"),
    "durable": Kind(
        _both("durable", durable={"stream": "M1", "storage": "memory"}), "durable", "durable", follows=False
    ),
    "durable-pattern": Kind(
        _both("dp.*", durable={"stream": "M2", "storage": "memory"}), "dp.{user}", "dp.{user}", follows=False
    ),
    "templated": Kind(_both("mine", "users.{sub}.mine"), "mine", "users.{user}.mine"),
    "templated-pattern": Kind(_both("room.*", "t.{sub}.room.*"), "room.1", "t.{user}.room.1"),
    "templated-durable": Kind(
        _both("log", "logs.{sub}", durable={"stream": "M3", "storage": "memory"}), "log", "logs.{user}", follows=False
    ),
    "request": Kind({"name": "ask", "direction": "request", "subject": "asks"}, "ask", "asks", (Use.REQUEST,)),
    "templated-request": Kind(
        {"name": "askme", "direction": "request", "subject": "askme.{sub}"}, "askme", "askme.{user}", (Use.REQUEST,)
    ),
}

#: What each protocol is for.
SERVES: dict[str, tuple[Use, ...]] = {
    "websocket": (Use.SUBSCRIBE, Use.PUBLISH),
    "sse": (Use.SUBSCRIBE,),
    "post": (Use.PUBLISH, Use.REQUEST),
    "socketio": (Use.SUBSCRIBE, Use.PUBLISH, Use.REQUEST),
    "polling": (Use.SUBSCRIBE, Use.PUBLISH, Use.REQUEST),
}

STATES = ("no token", "wrong", "without the right", "denied", "right", "expired in session", "refreshed", "shrunk")
#: Those that are over with what is told first.
AT_ONCE = STATES[:5]


class Cell(NamedTuple):
    protocol: str
    use: Use
    kind: str
    state: str

    def __str__(self) -> str:
        return f"{self.protocol} {self.use} {self.kind}, {self.state}"


CELLS = [
    Cell(protocol, use, kind, state)
    for protocol, kind, state in product(VISITS, KINDS, STATES)
    for use in SERVES[protocol]
    if use in KINDS[kind].uses
]


class Outcome(NamedTuple):
    """What a cell came to: what was ``told``, step by step, whether anything was delivered, and how often NATS saw what
    the client sent. (Each step that is told to be well had a delivery of its own.)
    """

    told: list[str]
    delivered: bool
    seen: int


def expected(cell: Cell) -> Outcome:
    """What has to come of ``cell``: by the words of docs/security.md, not by the code."""
    first: dict[str, list[str]] = {
        "no token": ["unauthenticated"],
        "wrong": ["unauthenticated"],
        "without the right": ["forbidden"],
        "denied": ["forbidden"],
        "right": [OK],
        "refreshed": [OK, OK, OK],
        "shrunk": [OK, OK, "forbidden"],
        "expired in session": [OK, "token_expired", "token_expired"],
    }
    told = first[cell.state]
    if cell.state in ("refreshed", "shrunk") and not VISITS[cell.protocol].refreshes:
        told = [told[0], told[2]]  # there it is another connection that shows another token
    if cell.use is Use.SUBSCRIBE:
        return Outcome(told, OK in told, 0)
    refreshes = cell.state in ("refreshed", "shrunk") and VISITS[cell.protocol].refreshes  # which sends nothing
    return Outcome(told, False, told.count(OK) - refreshes)


class Stage:
    """The gateway that all visit, and what NATS has seen."""

    def __init__(self, served: Running, peer: Peer, nats: NatsServer) -> None:
        self.served, self.peer, self.nats = served, peer, nats
        self.seen: Counter[tuple[str, str]] = Counter()  # by subject and payload
        self._publishing: set[asyncio.Task[None]] = set()

    async def act(self, cell: Cell, number: int) -> Outcome:
        kind, user = KINDS[cell.kind], f"user{number}"
        name, subject = kind.name.format(user=user), kind.subject.format(user=user)
        down, up = f"down {user}", f"up {user}"

        def visit() -> Visit:
            return VISITS[cell.protocol](
                self.served.server.port,
                cell.use,
                name,
                down,
                up,
                lambda: self._publish(subject, down),
                lambda: self.seen[subject, up],
            )

        made: list[Visit] = []

        def another() -> Visit:
            made.append(visit())
            return made[-1]

        try:
            told = await self._tell(cell, user, name, another)
            if cell.use is Use.SUBSCRIBE and told[-1] != OK:
                await self._reaches_nobody(subject, down, made[-1:])
            if cell.use is Use.SUBSCRIBE and kind.follows and cell.state in AT_ONCE:
                found = subject in await asyncio.to_thread(interests, self.nats)
                assert found is (told[-1] == OK), f"NATS has interest in {subject}: {found}"
        finally:
            for each in made:
                await each.leave()
        await self.peer.fence()  # what was confirmed has come to us by then
        return Outcome(told, any(each.got for each in made), self.seen[subject, up])

    async def _tell(self, cell: Cell, user: str, name: str, another: Callable[[], Visit]) -> list[str]:
        good, bad = token(user, cell.use, name), token(user, cell.use, name, allowed=False)
        short = token(user, cell.use, name, seconds=SHORT_SECONDS)
        over = time.time() + SHORT_SECONDS + 1.5  # by then it has ended
        first = another()
        match cell.state:
            case "no token":
                return [await first.come(None)]
            case "wrong":
                return [await first.come(jwt.encode({"sub": user}, f"not {SECRET}", "HS256"))]
            case "without the right":
                return [await first.come(bad)]
            case "denied":
                return [await first.come(token(user, cell.use, name, denied=True))]
            case "right":
                return [await first.come(good)]
            case "expired in session":
                told = [await first.come(short)]
                await eventually(lambda: cell.protocol != "post" or time.time() > over, "it has ended")
                told.append(await (first.again() if cell.protocol == "post" else first.end()))
                return [*told, await another().come(short)]
            case "refreshed":
                told = [await first.come(short)]
                if first.refreshes:
                    told.append(await first.refresh(good))
                await eventually(lambda: time.time() > over, "the first one has ended")
                return [*told, await (first.again() if first.refreshes else another().come(good))]
            case _:  # shrunk
                told = [await first.come(good)]
                if not first.refreshes:
                    return [*told, await another().come(bad)]
                told.append(await first.refresh(bad))
                return [*told, await (first.notice() if cell.use is Use.SUBSCRIBE else first.again())]

    def see(self, message: Msg) -> None:
        """A message on any subject; what a stream hands on to its consumer is no message of its own.

        Replies are not either.
        """
        if not message.reply.startswith("$JS.ACK") and not message.subject.startswith("_INBOX"):
            self.seen[message.subject, message.data.decode("latin-1")] += 1

    def _publish(self, subject: str, payload: str) -> None:
        task = asyncio.get_running_loop().create_task(self.peer.publish(subject, payload))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _reaches_nobody(self, subject: str, payload: str, made: list[Visit]) -> None:
        """What is published for who may not have it comes to nobody; a mark behind it has come to the gateway."""
        before = sum(len(each.got) for each in made)
        await self.peer.publish(subject, payload)
        await self.peer.fence()
        await self.served.gateway.broker.barrier()
        for each in made:
            try:
                async with asyncio.timeout(0.3):
                    while True:
                        await each._read()
            except (TimeoutError, ConnectionError, AttributeError, AssertionError):
                pass
        assert sum(len(each.got) for each in made) == before, f"{subject} was delivered"


def token(
    user: str, use: Use, name: str, *, allowed: bool = True, denied: bool = False, seconds: float | None = None
) -> str:
    """Of ``user``, for that one thing; not ``allowed``: for everything else."""
    others = {each.value: [">"] for each in Use if each is not use}
    rights: dict[str, Any] = others | {use.value: [name] if allowed else ["elsewhere.>"]}
    if denied:
        rights["deny"] = {use.value: [name]}
    claims: dict[str, Any] = {"sub": user, "wsgw": rights}
    if seconds is not None:
        claims["exp"] = int(time.time() + seconds)
    return jwt.encode(claims, SECRET, "HS256")


def interests(nats: NatsServer) -> set[str]:
    """The subjects that anybody on ``nats`` is interested in."""
    with urllib.request.urlopen(f"{nats.monitoring}/subsz?subs=1&limit=100000") as answer:
        return {each["subject"] for each in json.load(answer)["subscriptions_list"]}


@pytest.fixture
async def stage(jetstream_server: NatsServer) -> AsyncIterator[Stage]:
    channels = [kind.channel for kind in KINDS.values()]
    auth = {"jwt": {"secret": SECRET, "leeway": 0}}
    async with running(jetstream_server.url, channels=channels, auth=auth) as served:
        peer = await Peer.connect(jetstream_server.url)
        made = Stage(served, peer, jetstream_server)
        await peer._listen(">", made.see)
        for subject in ("asks", "askme.*"):
            await peer.answer(subject, lambda payload: payload)
        yield made
        await peer.close()


@pytest.mark.parametrize("protocol", VISITS)
async def test_every_cell(stage: Stage, protocol: str) -> None:
    """All of one protocol at a time; what is wrong is listed, cell by cell."""
    cells = [cell for cell in CELLS if cell.protocol == protocol]
    found = await asyncio.gather(
        *(stage.act(cell, number) for number, cell in enumerate(cells)), return_exceptions=True
    )
    wrong = [
        f"{cell}: {outcome!r} and not {expected(cell)!r}"
        for cell, outcome in zip(cells, found, strict=True)
        if outcome != expected(cell)
    ]
    assert not wrong, f"{len(wrong)} of {len(cells)}:\n" + "\n".join(wrong)
    known = {KINDS[cell.kind].subject.format(user=f"user{i}") for i, cell in enumerate(cells)}
    assert {subject for subject, payload in stage.seen if payload.startswith(("up ", "down "))} <= known


def test_the_matrix_is_whole() -> None:
    """No protocol, verb, kind or state is without a cell."""
    assert {cell.protocol for cell in CELLS} == set(VISITS)
    assert {cell.use for cell in CELLS} == set(Use)
    assert {cell.kind for cell in CELLS} == set(KINDS)
    assert {cell.state for cell in CELLS} == set(STATES)
    assert len(CELLS) == len(set(CELLS)) == 496

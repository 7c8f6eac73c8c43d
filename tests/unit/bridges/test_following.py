"""A client's way to live in a stream that the test makes up: pages, what is kept, pauses, ends."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from helpers.durables import WIRE, durable
from helpers.made_stream import MadeClient, MadeStream, after
from helpers.waiting import arrived, eventually
from wsgw.bridges import following as module
from wsgw.bridges.following import Following
from wsgw.bridges.pages import Page
from wsgw.bridges.place import Coming, Place
from wsgw.channels.start import NOW, Start
from wsgw.fanout import history as history_module
from wsgw.fanout.history import History
from wsgw.fanout.publication import BATCH_BYTES, Publication, StreamPublication
from wsgw.shares import slices
from wsgw.shares.memory import Memory


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "MAX_MESSAGES", 4)
    monkeypatch.setattr(module, "CHUNK", 2)
    monkeypatch.setattr(module, "RETRY_SECONDS", (0.01, 0.05))
    for name in ("SLICE_SECONDS", "TICK_SECONDS"):  # a machine that stands still for a while spends none
        monkeypatch.setattr(slices, name, 60.0)


@pytest.fixture
async def stream(few: None) -> MadeStream:
    return MadeStream()


@pytest.fixture(autouse=True)
async def _no_fault_in_a_callback() -> AsyncIterator[None]:
    """The loop would only log it."""
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    yield
    assert not faults


async def test_from_the_stream_to_what_is_kept_to_live(stream: MadeStream) -> None:
    stream.store(10)
    client = MadeClient(stream, after(2))
    assert not client.places, "it is not known yet whether something is missing"
    await arrived(client.link.data, 8)
    stream.store(2)
    await arrived(client.link.data, 10)
    assert client.sequences == [*range(3, 13)]
    assert client.coming == [Coming.RECOVERED]
    assert stream.reads == [(2, False), (5, True)]
    client.following.end()
    client.following.end()
    stream.store(1)
    await asyncio.sleep(0.01)
    assert len(client.link.data) == 10
    assert stream.ended == [client.following]


async def test_what_comes_while_it_catches_up(stream: MadeStream) -> None:
    """What is kept passes it by: it goes back to the stream, and joins live in one step."""
    stream.store(10)
    client = MadeClient(stream, after(0))
    for _ in range(40):
        stream.store(1)
        await asyncio.sleep(0)
    await arrived(client.link.data, 50)
    assert client.sequences == [*range(1, 51)]
    assert client.coming == [Coming.RECOVERED]


async def test_it_goes_at_the_clients_pace(stream: MadeStream) -> None:
    stream.store(20)
    client = MadeClient(stream, after(0))
    client.link.pause()
    await asyncio.sleep(0.05)
    sent = len(client.link.data)
    assert sent <= module.CHUNK
    assert len(client.sender) == 0, "nothing is buffered for it"
    client.link.resume(room=1)  # and full again with the next write
    await eventually(lambda: client.link.paused, "it took some")
    await asyncio.sleep(0.02)
    assert len(client.link.data) <= sent + module.CHUNK
    client.link.resume()
    await arrived(client.link.data, 20)
    assert client.sequences == [*range(1, 21)]


async def test_the_stream_has_what_this_gateway_lacks(stream: MadeStream, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for, whether the stream says so or cannot be asked."""
    monkeypatch.setattr(module, "AHEAD_SECONDS", 0.02)
    stream.store(1)
    stream.last = 5
    stream.faults = 2
    client = MadeClient(stream, after(5))
    await eventually(lambda: stream.asked_last >= 4, "it has asked again, and again")
    stream.store(3)
    assert not client.places
    stream.store(2)
    await arrived(client.link.data, 1)
    assert (client.sequences, client.coming) == ([6], [Coming.RECOVERED])


async def test_the_stream_does_not_go_so_far(stream: MadeStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AHEAD_SECONDS", 0.02)
    stream.store(1)
    stream.last = 4
    client = MadeClient(stream, after(5))
    await eventually(lambda: client.places, "it is told")
    stream.store(1)
    await arrived(client.link.data, 1)
    assert (client.sequences, client.coming) == ([2], [Coming.GAP])


async def test_a_stream_that_cannot_be_asked_means_to_wait(stream: MadeStream) -> None:
    stream.store(10)
    stream.faults = 3
    client = MadeClient(stream, after(0))
    await arrived(client.link.data, 10)
    assert client.coming == [Coming.RECOVERED]
    assert [each for each, _ in stream.reads[:4]] == [0, 0, 0, 0]


async def test_what_is_gone_is_told_with_how_many(stream: MadeStream) -> None:
    stream.store(10)
    stream.first = 4
    client = MadeClient(stream, after(1))
    await arrived(client.link.data, 7)
    assert client.sequences == [*range(4, 11)]
    assert [(place.coming, place.sequence, place.missed) for place in client.places] == [(Coming.GAP, 3, 2)]
    assert stream.came_in == [Coming.GAP]


async def test_what_goes_while_it_catches_up_is_told_too(stream: MadeStream) -> None:
    stream.store(12)
    client = MadeClient(stream, after(0))
    client.link.pause()
    await eventually(lambda: client.places, "the first page is there")
    stream.first = 8
    client.link.resume()
    await arrived(client.link.data, 8)
    assert client.sequences == [1, 2, 3, *range(8, 13)]
    assert client.coming == [Coming.RECOVERED, Coming.GAP]
    assert client.places[1].missed == 4


async def test_deletes_put_it_in_doubt(stream: MadeStream) -> None:
    stream.store(10)
    stream.deleted = True
    client = MadeClient(stream, after(1))
    await arrived(client.link.data, 9)
    assert [(place.coming, place.missed) for place in client.places] == [(Coming.GAP, None)]


async def test_what_went_before_it_came_is_told_behind_what_did(stream: MadeStream) -> None:
    """To who is live at once; who is not finds it out as it comes there, and is told once."""
    stream.store(10)
    stream.gate.clear()
    live, behind = MadeClient(stream, NOW), MadeClient(stream, after(0))
    stream.store(2)
    assert stream.history is not None
    stream.stored += [stream.stored[-1]] * 3
    stream.history.cut(15)
    came = []
    for each in (live, behind):
        each.following.missed(3)
        came.append(len(each.link.data))
    assert came == [2, 0], "they were on their way"
    assert [(place.coming, place.sequence, place.missed) for place in live.places[1:]] == [(Coming.GAP, 15, 3)]
    assert not behind.places
    stream.deleted = True
    stream.gate.set()
    stream.store(1)
    await arrived(behind.link.data, 13)
    assert behind.coming == [Coming.GAP]
    assert live.sequences == [11, 12, 16]


async def test_deletes_while_it_is_told_of_others(stream: MadeStream) -> None:
    stream.store(16)
    stream.deleted = True
    client = MadeClient(stream, after(0))
    client.link.pause()
    await eventually(lambda: client.places, "the first page is there")
    client.following.missed(1)
    client.link.resume()
    await arrived(client.link.data, 16)
    assert client.coming == [Coming.GAP, Coming.GAP]


async def test_how_many_are_missing_of_some_of_it_nobody_knows(stream: MadeStream) -> None:
    stream.whole = False
    stream.store(1)
    client = MadeClient(stream, NOW)
    client.following.missed(3)
    assert client.places[1].missed is None


async def test_the_last_ones_of_a_stream_that_has_fewer(stream: MadeStream) -> None:
    stream.store(10)
    stream.first = 5
    client = MadeClient(stream, Start(last=8))
    await arrived(client.link.data, 6)
    assert client.sequences == [*range(5, 11)]
    assert client.coming == [Coming.NEW], "there need not be so many"


async def test_since(stream: MadeStream, monkeypatch: pytest.MonkeyPatch) -> None:
    stream.store(10)
    monkeypatch.setattr(time, "time", lambda: 12.0)
    near, far = MadeClient(stream, Start(since_seconds=3.0)), MadeClient(stream, Start(since_seconds=9.0))
    assert near.sequences == [9, 10]
    await arrived(far.link.data, 8)
    assert far.sequences == [*range(3, 11)]


async def test_a_reset_in_the_middle(stream: MadeStream) -> None:
    stream.store(10)
    stream.gate.clear()
    client, live = MadeClient(stream, after(0)), MadeClient(stream, NOW)
    await eventually(lambda: stream.reads, "it reads")
    stream.history = History("abcdefabcd", 0, Memory())
    for each in (client, live):
        each.following.reset()
    stream.gate.set()
    made = StreamPublication(Publication("orders", b"new", 0.0), "abcdefabcd", 1, 0)
    stream.history.add(made)
    stream.hub.publish("orders", made)
    for each in (client, live):
        await eventually(lambda each=each: each.link.data, "the new stream's")  # type: ignore[misc]
        assert each.link.data == [b"1 new"]
    assert (client.coming, live.coming) == ([Coming.GAP], [Coming.NEW, Coming.GAP])


async def test_it_may_end_at_any_time(stream: MadeStream) -> None:
    stream.store(10)
    stream.gate.clear()
    reading = MadeClient(stream, after(0))
    waiting = MadeClient(stream, after(0))
    waiting.link.pause()
    ahead = MadeClient(stream, after(99))
    stream.faults = 1
    for each in (reading, waiting, ahead):
        each.following.end()
    stream.gate.set()
    await asyncio.sleep(0.05)
    assert [each.link.data for each in (reading, waiting, ahead)] == [[], [], []]
    assert len(stream.ended) == 3


async def test_it_may_end_as_it_is_told_where_it_stands(stream: MadeStream) -> None:
    stream.store(4)
    client = MadeClient(stream, NOW)
    client.following.end()
    following = Following(stream, "orders", client.sender, after(0), lambda _: following.end())
    following.begin()
    assert not client.link.data
    assert stream.ended == [client.following, following]


async def test_ended_it_has_nobody_to_tell(stream: MadeStream) -> None:
    class Owner:
        def told(self, place: Place) -> None: ...

    client, owner = MadeClient(stream, NOW), Owner()
    following = Following(stream, "orders", client.sender, after(0), owner.told)
    following.begin()
    following.end()
    freed = weakref.ref(owner)
    del owner
    assert freed() is None, "and not when the collector comes to it"


async def test_what_was_read_before_a_reset_is_not_taken(stream: MadeStream, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was there in the same tick, so it could not be cancelled any more."""
    stream.store(10)
    asked: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(stream, "read", lambda subject, after, anew: asked)
    client = MadeClient(stream, after(0))
    asked.set_result(Page(0, 9, tuple(stream.stored[7:9]), 8, False))
    stream.history = History("abcdefabcd", 5, Memory())
    client.following.reset()
    made = StreamPublication(Publication("orders", b"new", 0.0), "abcdefabcd", 6, 0)
    stream.history.add(made)
    await arrived(client.link.data, 1)
    assert client.link.data == [b"6 new"]
    assert client.coming == [Coming.GAP]


async def test_a_pattern_brings_all_and_a_name_its_own(stream: MadeStream) -> None:
    stream.channel = durable("room.*", "rooms.*")
    for room in "abab":
        stream.store(1, room=room)
    every, one = MadeClient(stream, after(0), "room.*"), MadeClient(stream, after(0), "room.b")
    assert every.sequences == [1, 2, 3, 4]
    assert one.sequences == [2, 4]


async def test_a_name_of_which_there_is_nothing_to_read(stream: MadeStream) -> None:
    stream.channel = durable("room.*", "rooms.*")
    stream.store(10, room="a")
    client = MadeClient(stream, after(0), "room.b")
    await eventually(lambda: client.places, "it is known whether something is missing")
    stream.store(1, room="b")
    await arrived(client.link.data, 1)
    assert client.sequences == [11]
    assert client.coming == [Coming.RECOVERED]
    assert len(stream.reads) == 1


async def test_many_take_turns(stream: MadeStream) -> None:
    """None keeps the loop, and those who are behind by the same get the same bytes."""
    stream.store(10)
    before = WIRE.encoded
    clients = [MadeClient(stream, after(6)) for _ in range(50)]
    for client in clients:
        await arrived(client.link.data, 4)
        assert client.sequences == [7, 8, 9, 10]
    assert WIRE.encoded == before + 4
    assert len({id(client.link.batches[0]) for client in clients}) == 1


async def test_a_page_counts_while_the_client_does_not_take_it(stream: MadeStream) -> None:
    """For want of memory it is let go of, and read again; the client stays."""
    stream.store(12)
    client = MadeClient(stream, after(0))
    client.link.pause()
    await eventually(lambda: client.places, "the first page is there")
    portion, memory = client.following._portion, stream.memory
    assert portion.held_bytes() == memory.used_bytes == 3 * stream.stored[0].kept_bytes
    assert portion in memory._holders
    portion.evict()
    assert portion.held_bytes() == memory.used_bytes == 0
    assert portion in memory._holders, "else it were told as an end"
    client.link.resume()
    await arrived(client.link.data, 12)
    assert client.sequences == [*range(1, 13)]
    assert client.coming == [Coming.RECOVERED]
    assert [each for each, _ in stream.reads].count(0) == 2
    assert memory.used_bytes == 0
    assert portion not in memory._holders


async def test_a_client_that_goes_leaves_no_page_and_no_read(stream: MadeStream) -> None:
    stream.store(12)
    holding = MadeClient(stream, after(0))
    holding.link.pause()
    await eventually(lambda: holding.places, "the first page is there")
    stream.gate.clear()
    reading = MadeClient(stream, after(1))
    asked = reading.following._asked
    assert asked is not None
    for each in (holding, reading):
        each.following.end()
    await asyncio.sleep(0)
    assert asked.cancelled()
    assert stream.memory.used_bytes == 0
    assert not stream.memory._holders


async def test_what_is_given_at_a_time_is_bounded_in_bytes(stream: MadeStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 100)
    monkeypatch.setattr(history_module, "MAX_MESSAGES", 100)
    stream.store(9, BATCH_BYTES // 3)
    client = MadeClient(stream, after(0))
    await arrived(client.link.data, 9)
    assert [len(batch.items) for batch in client.link.batches] == [3, 3, 3]


async def test_those_who_come_back_to_different_places_get_the_same_batches(stream: MadeStream) -> None:
    stream.store(4)
    clients = [MadeClient(stream, after(sequence)) for sequence in (0, 1)]
    for client in clients:
        await arrived(client.link.data, 4 - client.places[0].sequence)
    assert clients[0].link.batches[1] is clients[1].link.batches[1]

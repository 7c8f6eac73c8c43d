"""Waits that others end."""

from __future__ import annotations

import asyncio

import pytest

from wsgw.surfaces.socketio.scopes import Scopes


async def wait(scopes: Scopes, key: str) -> None:
    async with scopes.open(key):
        await asyncio.Event().wait()


async def test_a_wait_ends() -> None:
    scopes = Scopes()
    one, two, three = (asyncio.ensure_future(wait(scopes, key)) for key in ("one", "two", "three"))
    await asyncio.sleep(0)
    for _ in range(2):
        scopes.end("one")
    with pytest.raises(TimeoutError):
        await one
    assert not two.done()
    scopes.end("two")
    scopes.end("three")
    for task in (two, three):
        with pytest.raises(TimeoutError):
            await task
    scopes.end("one")


async def test_what_does_not_wait_any_more_ends_well() -> None:
    scopes = Scopes()
    async with scopes.open("one"):
        scopes.end("one")
    await asyncio.sleep(0)


async def test_a_scope_that_is_left_by_an_exception() -> None:
    scopes = Scopes()
    with pytest.raises(ZeroDivisionError):
        async with scopes.open("one"):
            raise ZeroDivisionError
    scopes.end("one")


async def test_other_cancellations_go_through() -> None:
    task = asyncio.ensure_future(wait(Scopes(), "one"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

"""The task of a bridge, which goes on for ever and ends when it is told to."""

from __future__ import annotations

import asyncio
import logging

import pytest

from helpers.metrics import value
from helpers.waiting import eventually
from wsgw import tasks
from wsgw.bridges import base
from wsgw.bridges.base import BridgeState, Keeper
from wsgw.channels.channel import Channel, Direction
from wsgw.errors import FORBIDDEN, NATS_UNAVAILABLE, GatewayError
from wsgw.metrics import Metrics

IN = Channel("IN", Direction.INBOUND)


async def test_it_goes_on_whatever_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BACKOFF_SECONDS", (0.01, 0.01))
    seen: list[tuple[BridgeState, str]] = []
    why: list[Exception] = [
        GatewayError(FORBIDDEN, "no"),
        ZeroDivisionError("unforeseen"),
        GatewayError(NATS_UNAVAILABLE, "gone"),
    ]

    async def serve() -> Exception:
        seen.append((keeper.state, keeper.reason))
        if not why:
            await asyncio.Event().wait()
        error = why.pop(0)
        if isinstance(error, GatewayError):
            return error
        raise error

    keeper = Keeper(IN, Metrics(), serve)
    keeper.start()
    await eventually(lambda: len(seen) == 4, "every try")
    waiting = (BridgeState.STARTING, "waiting for NATS")
    failed = [(BridgeState.FAILED, reason) for reason in ("no", "a fault: ZeroDivisionError('unforeseen')")]
    assert seen == [waiting, *failed, waiting]
    await keeper.stop()


async def test_a_cancellation_that_is_swallowed_is_said_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECONDS", 0.05)
    caplog.set_level(logging.WARNING)
    heard = 0

    async def serve() -> Exception:
        nonlocal heard
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard += 1
                if heard == 2:
                    raise

    keeper = Keeper(IN, Metrics(), serve)
    await keeper.stop()  # not started
    keeper.start()
    await asyncio.sleep(0)
    await keeper.stop()
    assert heard == 2
    assert "bridge IN goes on after a cancellation" in caplog.text


async def test_a_failure_is_told_once_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    async def serve() -> Exception:
        raise AssertionError("not started")

    keeper = Keeper(IN, Metrics(), serve)
    for _ in range(2):
        keeper.failed(GatewayError(FORBIDDEN, "no"))
    assert (len(caplog.records), caplog.records[-1].exc_info) == (1, None)
    assert (keeper.state, keeper.reason) == (BridgeState.FAILED, "no")
    keeper.failed(ZeroDivisionError("unforeseen"))
    assert len(caplog.records) == 2
    assert caplog.records[-1].exc_info, "a fault is told with where it was"
    keeper.failed(GatewayError(FORBIDDEN, "no"))
    keeper.subscribed()
    assert (keeper.state, keeper.reason) == (BridgeState.SUBSCRIBED, "")
    keeper.failed(GatewayError(FORBIDDEN, "no"))
    assert [record.getMessage() for record in caplog.records[2:]] == ["bridge IN failed, subject IN: no"] * 2


async def test_what_it_received_is_counted_when_metrics_are_read() -> None:
    async def serve() -> Exception:
        raise AssertionError("not started")

    metrics = Metrics()
    keeper = Keeper(IN, metrics, serve)
    assert value(metrics, "wsgw_nats_messages_total", channel="IN") == 0
    keeper.received += 3
    assert value(metrics, "wsgw_nats_messages_total", channel="IN") == 3
    keeper.received += 2
    assert value(metrics, "wsgw_nats_messages_total", channel="IN") == 5

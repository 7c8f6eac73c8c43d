"""The gateway's own event loop, on which a test's time can end all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop


def gateway_loop() -> asyncio.AbstractEventLoop:
    """To uvloop what pytest-timeout raises is a callback's fault, and it waits on for ever; here that ends the test."""
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(_end_where_time_is_over)
    return loop


def _end_where_time_is_over(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    loop.default_exception_handler(context)
    if isinstance(context.get("exception"), pytest.fail.Exception):
        for task in asyncio.all_tasks(loop):
            task.cancel("the test's time is over")

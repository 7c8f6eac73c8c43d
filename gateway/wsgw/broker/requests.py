"""Requests of one connection that wait for their replies."""

from __future__ import annotations

import asyncio
from typing import Any

import nats.errors

from wsgw.broker.client import DirectClient
from wsgw.errors import FORBIDDEN, NATS_UNAVAILABLE, NO_RESPONDERS, TIMEOUT, UNCONFIRMED, GatewayError


class Requests:
    """Asks through ``client`` until ``lost`` is done. The caller bounds how many wait."""

    def __init__(self, client: DirectClient, lost: asyncio.Future[str]) -> None:
        self._client = client
        self._lost = lost
        self._denials: dict[str, set[asyncio.Future[str]]] = {}  # by subject, one a request that waits

    def __len__(self) -> int:
        return sum(map(len, self._denials.values()))

    async def ask(self, subject: str, payload: bytes, timeout_seconds: float) -> bytes:
        """See ``NatsConnection.request``."""
        loop = asyncio.get_running_loop()
        denial: asyncio.Future[str] = loop.create_future()
        self._denials.setdefault(subject, set()).add(denial)
        asking = loop.create_task(self._client.request(subject, payload, timeout=timeout_seconds))
        try:
            waiting_for: set[asyncio.Future[Any]] = {asking, denial, self._lost}
            await asyncio.wait(waiting_for, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return bytes(asking.result().data)
            if denial.done():
                raise GatewayError(FORBIDDEN, f"NATS refuses {subject!r}: {denial.result()}")
            raise GatewayError(UNCONFIRMED, "the connection to NATS was lost before the reply came")
        except nats.errors.NoRespondersError:
            raise GatewayError(NO_RESPONDERS, f"nobody answers requests on {subject!r}") from None
        except nats.errors.TimeoutError:
            raise GatewayError(TIMEOUT, f"no reply on {subject!r} within {timeout_seconds:g} s") from None
        except nats.errors.Error as error:
            raise GatewayError(NATS_UNAVAILABLE, f"NATS: {error}") from None
        finally:
            asking.cancel()
            denial.cancel()
            denials = self._denials[subject]
            denials.discard(denial)
            if not denials:
                del self._denials[subject]

    def denied(self, subject: str, said: str) -> bool:
        """NATS refused a publish to ``subject``, in the words ``said``: requests to it fail. Whether there are any."""
        denials = self._denials.get(subject, ())
        for denial in denials:
            if not denial.done():
                denial.set_result(said)
        return bool(denials)

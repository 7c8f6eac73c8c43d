"""The public keys of an identity provider, at a URL: read at the start, now and then, and for a key not seen yet."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable

import httpx

from wsgw import __version__
from wsgw.access.compact import refusal
from wsgw.access.jwkset import KeySet, key_set
from wsgw.access.signatures import SigningKey
from wsgw.backoff import Backoff
from wsgw.errors import AUTH_UNAVAILABLE, GatewayError
from wsgw.shares.repeats import Repeats
from wsgw.tasks import end, within
from wsgw.trust import verifying_as_others

log = logging.getLogger("wsgw.auth")

#: From one reading to the next, unless the answer's ``Cache-Control`` says another time within these bounds.
INTERVAL_SECONDS = 300.0
LEAST_SECONDS = 60.0
MOST_SECONDS = 3600.0
#: After one that failed.
FIRST_RETRY_SECONDS = 1.0
MOST_RETRY_SECONDS = 30.0
#: Between two readings that clients bring about, by keys that are not known.
LOOK_SECONDS = 10.0
#: What one may take, and bring.
TIMEOUT_SECONDS = 5.0
MAX_BODY_BYTES = 256 * 1024
#: Between two lines that say the same.
SAID_SECONDS = 600.0

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})")


class Jwks:
    """The keys at ``url`` for ``algorithms``, public ones. Once read they stay while the URL is away.

    One reading is under way at a time, and whoever needs it waits for that one.
    """

    def __init__(self, url: str, algorithms: tuple[str, ...], clock: Callable[[], float] = time.monotonic) -> None:
        self.algorithms = algorithms
        self.generation = 0
        self._url = url
        self._shown = url.partition("?")[0]  # in the log
        self._clock = clock
        self._keys: KeySet | None = None
        self._body = b""  # of which they are
        self._failed = False  # the last time
        self._looked_at: float | None = None  # when a client's token made it be read
        self._reading: asyncio.Task[float] | None = None
        self._running: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None
        self._repeats = Repeats(log, SAID_SECONDS, clock)

    # -- life

    def start(self) -> None:
        """Begin to read; the gateway starts without keys, too."""
        self._client = httpx.AsyncClient(
            verify=verifying_as_others(httpx.create_ssl_context()),
            follow_redirects=False,
            timeout=None,  # noqa: S113  there is one for all of it
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": f"wsgw/{__version__}"},
        )
        self._running = asyncio.get_running_loop().create_task(self._run(), name="reading keys")

    async def close(self) -> None:
        """Read no more; who waits is told that keys cannot be had."""
        for task in (self._running, self._reading):
            if task is not None:
                await end(task)
        if self._client is not None:
            await self._client.aclose()

    # -- for tokens

    def find(self, algorithm: str, kid: str | None) -> SigningKey | None:
        """See ``Keys.find``; nothing is waited for, and None only where a reading is due or under way."""
        found = None if self._keys is None else self._keys.find(algorithm, kid)
        if found is None and self._reading is None and not self._is_due():
            raise self._not_there()
        return found

    async def look(self, algorithm: str, kid: str | None) -> SigningKey:
        """See ``Keys.look``: after a reading, that which is under way or a new one."""
        reading = self._reading
        if reading is None:
            self._looked_at = self._clock()
            reading = self._read_now()
        await asyncio.wait({reading})  # cancelled while it waits, a client leaves the others their reading
        found = None if self._keys is None else self._keys.find(algorithm, kid)
        if found is None:
            raise self._not_there()
        return found

    def _is_due(self) -> bool:
        return self._looked_at is None or self._clock() - self._looked_at >= LOOK_SECONDS

    def _not_there(self) -> GatewayError:
        """A key that was not in the last answer; where there was none, it may be a new one."""
        if self._failed or self._keys is None:
            return GatewayError(AUTH_UNAVAILABLE, "the keys of tokens cannot be read now; come later")
        return refusal("is signed by a key that the identity provider does not have ('kid')")

    # -- reading

    async def _run(self) -> None:
        backoff = Backoff(FIRST_RETRY_SECONDS, MOST_RETRY_SECONDS)
        while True:
            reading = self._reading or self._read_now()
            await asyncio.wait({reading})
            if self._failed:
                wait = backoff.next()
            else:
                backoff.reset()
                wait = reading.result()
            await asyncio.sleep(wait)

    def _read_now(self) -> asyncio.Task[float]:
        self._reading = asyncio.get_running_loop().create_task(self._read(), name="reading keys once")
        return self._reading

    async def _read(self) -> float:
        """After how many seconds it is to be read again, if that went well; never raises but when cancelled."""
        wait = INTERVAL_SECONDS
        try:
            body, wait = await within(TIMEOUT_SECONDS, self._answer(), "reading the URL of keys")
            if body != self._body:
                self._keys, self._body = key_set(body, self.algorithms), body
                self.generation += 1
                log.info("auth.jwt.jwks_url: %d keys of tokens read from %s", len(self._keys), self._shown)
            elif self._failed:
                log.info("auth.jwt.jwks_url: the keys of tokens are at %s again", self._shown)
            self._failed = False
        except (ValueError, TimeoutError, httpx.HTTPError, OSError) as error:
            self._fail(error)
        except Exception as error:  # whatever it is, clients of the keys that there are go on
            log.exception("auth.jwt.jwks_url: a fault")
            self._fail(error)
        finally:
            self._reading = None
        return wait

    def _fail(self, error: Exception) -> None:
        self._failed = True
        reason = f"no answer in {TIMEOUT_SECONDS:g} s" if isinstance(error, TimeoutError) else str(error)
        left = "tokens cannot be checked" if self._keys is None else "the keys read before stay"
        self._repeats.say(
            logging.WARNING,
            f"auth.jwt.jwks_url: {self._shown} cannot be read; {left}, it is tried again",
            ": %s",
            reason or type(error).__name__,
        )

    async def _answer(self) -> tuple[bytes, float]:
        """The body, and after how many seconds there may be another one; raises ValueError, httpx.HTTPError."""
        assert self._client is not None
        async with self._client.stream("GET", self._url) as response:
            if response.status_code != 200:
                raise ValueError(f"it answers {response.status_code}")
            body = bytearray()
            async for data in response.aiter_raw():
                body += data
                if len(body) > MAX_BODY_BYTES:
                    raise ValueError(f"it is larger than {MAX_BODY_BYTES} bytes")
            return bytes(body), _seconds(response.headers.get("cache-control", ""))


def _seconds(cache_control: str) -> float:
    stated = _MAX_AGE.search(cache_control.lower())
    return INTERVAL_SECONDS if stated is None else min(max(float(stated[1]), LEAST_SECONDS), MOST_SECONDS)

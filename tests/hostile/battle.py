"""One attack on one gateway, healthy clients beside it: what it cost, and what they felt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from helpers.nats_server import NatsServer
from helpers.waiting import eventually
from hostile import form
from hostile.attack import Attacker, Seen
from hostile.attacks.table import ATTACKS
from hostile.healthy import Healthy, Times, percentile
from hostile.target import HostileGateway
from hostile.watch import Watch

#: An attack that does not end while a stop is measured.
_LONG = {"seconds": 60, "size": 2**40, "each": 2**30}


@dataclass
class Latency:
    """Percentiles in seconds, idle and under attack."""

    idle_50: float
    idle_99: float
    under_50: float
    under_99: float

    @classmethod
    def of(cls, times: Times, idle: tuple[float, float], under: tuple[float, float]) -> Latency:
        return cls.of_windows(times, [idle], [under])

    @classmethod
    def of_windows(
        cls, times: Times, idle: Sequence[tuple[float, float]], under: Sequence[tuple[float, float]]
    ) -> Latency:
        """Of several times of either kind."""
        before, during = (sorted(chain(*(times.between(*each) for each in some))) for some in (idle, under))
        return cls(percentile(before, 0.5), percentile(before, 0.99), percentile(during, 0.5), percentile(during, 0.99))

    @property
    def ratio(self) -> float:
        """Of the 99th percentiles."""
        return self.under_99 / max(self.idle_99, form.LEAST_IDLE_SECONDS)


@dataclass
class Figures:
    """What an attack did to a gateway; memory in bytes above that before it."""

    peak_bytes: int = 0
    left_bytes: int = 0
    files_left: int = 0
    cpu_seconds: float = 0.0
    attack_seconds: float = 0.0
    health: Latency | None = None
    echo: Latency | None = None
    reconnects: float = 0.0
    stop_seconds: float = 0.0
    seen: Seen = field(default_factory=dict)
    #: what went wrong, in words
    faults: list[str] = field(default_factory=list)

    def check(self) -> None:
        """AssertionError where the attack did more than it may."""
        assert not self.faults, self
        assert self.peak_bytes <= form.PEAK_BYTES, f"{self.peak_bytes / form.MIB:.0f} MiB more at the peak: {self}"
        assert self.left_bytes <= form.LEFT_BYTES, f"{self.left_bytes / form.MIB:.0f} MiB are left: {self}"
        assert self.files_left <= 0, f"{self.files_left} files are left: {self}"
        assert self.reconnects == 0, f"NATS was lost: {self}"
        for latency in (self.health, self.echo):
            assert latency is not None
            assert latency.ratio <= form.RATIO, f"{latency.ratio:.0f} times as long as in the idle case: {self}"


class Battle:
    """A gateway with a NATS server and healthy clients. Open it with ``Battle.begin``."""

    def __init__(self, gateway: HostileGateway, nats: NatsServer, healthy: Healthy) -> None:
        self.gateway = gateway
        self.target = gateway.target(nats)
        self.watch = Watch(gateway)
        self.healthy = healthy
        self.figures = Figures()

    @classmethod
    @asynccontextmanager
    async def begin(cls, folder: Path, nats: NatsServer, **configuration: Any) -> AsyncIterator[Battle]:
        """With a gateway of its own; what is configured is in ``HostileGateway``. The end kills it."""
        gateway = HostileGateway(folder, [nats.url], **configuration)
        try:
            await gateway.ready()
            async with Healthy(gateway.port, nats.port) as healthy:
                battle = cls(gateway, nats, healthy)
                async with battle.watch.guarding():
                    yield battle
        finally:
            gateway.kill()

    @asynccontextmanager
    async def measuring(self) -> AsyncIterator[None]:
        """What happens within is the attack; then a rest, and the healthy clients' account."""
        reconnects = await asyncio.to_thread(self.gateway.metric, "wsgw_nats_reconnects_total")
        idle = (time.monotonic(), time.monotonic() + form.IDLE_SECONDS)
        await asyncio.sleep(form.IDLE_SECONDS)
        files = await self._fewest_files()
        base = self.watch.resident_bytes()
        cpu = self.watch.cpu_seconds()
        self.watch.forget_peak()
        began = time.monotonic()
        figures = self.figures
        try:
            yield
        finally:
            ended = time.monotonic()
            figures.attack_seconds = ended - began
            if self.watch.alive:
                figures.cpu_seconds = self.watch.cpu_seconds() - cpu
                await self._rest(base, ended)
                figures.peak_bytes = self.watch.peak_bytes() - base
                figures.left_bytes = self.watch.resident_bytes() - base
                await self._closed(files)
                figures.files_left = await self._fewest_files() - files
            else:
                figures.faults.append("killed for its memory" if self.watch.killed else "the gateway ended")
            with suppress(Exception):
                await self._account(reconnects)
            figures.health = Latency.of(self.healthy.health, idle, (began, ended))
            figures.echo = Latency.of(self.healthy.echo, idle, (began, ended))

    @asynccontextmanager
    async def under(self, name: str, **arguments: Any) -> AsyncIterator[None]:
        """What happens within does so while the attack goes on, whose end is then waited for."""
        attacker = await Attacker.start(name, self.target, **arguments)
        try:
            yield
            self.figures.seen = await attacker.finish()
        finally:
            await attacker.kill()

    async def fight(self, name: str, *, again: bool = False) -> Seen:
        """The attack, what it may cost at most, and a stop, behind it or in another one like it. What it saw."""
        async with self.measuring(), self.under(name):
            pass
        self.figures.check()
        await (self.stop_under(name) if again else self.stop())
        return self.figures.seen

    async def stop(self) -> None:
        """SIGTERM, and what has to follow it."""
        began = time.monotonic()
        try:
            await self.gateway.stop(deadline_seconds=form.STOP_SECONDS)
        finally:
            self.figures.stop_seconds = time.monotonic() - began

    async def stop_under(self, name: str) -> None:
        """The same in the middle of an attack, which goes on for as long as the gateway takes anything."""
        attacker = await Attacker.start(name, self.target, **_for_long(name))
        try:
            await asyncio.sleep(form.UNDER_SECONDS)  # it is in full swing
            await self.stop()
        finally:
            await attacker.kill()

    async def _account(self, reconnects: float) -> None:
        figures = self.figures
        try:
            await self.healthy.account()
        except Exception as error:
            figures.faults.append(f"{error}".splitlines()[0][:300] or repr(error))
        try:
            now = await asyncio.to_thread(self.gateway.metric, "wsgw_nats_reconnects_total")
            figures.reconnects = now - reconnects
            self.gateway.check_log()
        except Exception as error:
            figures.faults.append(f"{error}".splitlines()[0][:300] or repr(error))

    async def _fewest_files(self) -> int:
        """Open files without those that health requests have for a moment."""
        counts = []
        for _ in range(20):
            counts.append(self.watch.open_files())
            await asyncio.sleep(0.01)
        return min(counts)

    async def _rest(self, base: int, ended: float) -> None:
        """REST_SECONDS; in the short form only as long as there is more than may be left."""

        def rested() -> bool:
            if not self.watch.alive or time.monotonic() > ended + form.REST_SECONDS:
                return True
            return not form.LONG and self.watch.resident_bytes() - base <= form.LEFT_BYTES

        await eventually(rested, "a rest", form.REST_SECONDS * 2)

    async def _closed(self, files: int) -> None:
        """Until the attack's files are closed: what the system held of it is read before its end is noticed."""
        with suppress(AssertionError):
            await eventually(
                lambda: not self.watch.alive or self.watch.open_files() <= files, "closed", form.CLOSED_SECONDS
            )


def _for_long(name: str) -> dict[str, Any]:
    """What makes the attack last longer than any stop."""
    return {key: value for key, value in _LONG.items() if key in ATTACKS[name].arguments}

"""The configuration read again: when it is due, what is said and counted, and what cannot be used."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.metrics import value
from helpers.nats_server import NatsServer
from helpers.threads import no_threads
from helpers.waiting import DEADLINE_SECONDS, arrived, eventually
from wsgw.config import file as configfile
from wsgw.config.hints import hints
from wsgw.config.load import load
from wsgw.config.settings import LogSettings, Settings
from wsgw.core.gateway import Gateway
from wsgw.metrics import Metrics
from wsgw.process import watch
from wsgw.process.reloader import Reloader, Source

IN: dict[str, Any] = {"name": "IN", "direction": "inbound"}
NEW: dict[str, Any] = {"name": "NEW", "direction": "inbound"}


class Site:
    """A gateway with a configuration file, and what reads it again."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self.url = url
        self.logs: list[LogSettings] = []
        self.reads = 0
        self.reading: Callable[[], None] = lambda: None

    def write(self, channels: list[dict[str, Any]], **more: Any) -> None:
        """In one step, as a careful program writes."""
        text = yaml.safe_dump({"nats": {"servers": [self.url]}, "channels": channels, **more})
        self.write_text(text)

    def write_text(self, text: str) -> None:
        other = self.path.with_name("other.yml")
        other.write_text(text)
        other.rename(self.path)

    def read(self) -> tuple[Settings, list[str]]:
        self.reads += 1
        self.reading()
        file = configfile.read(str(self.path))
        settings = load({}, {}, file)
        return settings, [*file.warnings, *hints(settings, file)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Gateway, Reloader]]:
        seen = configfile.look(str(self.path))
        settings, _ = self.read()
        self.reads = 0
        reloader = Reloader(settings, Source(str(self.path), seen, self.read, self.logs.append))
        gateway = Gateway(settings, Metrics())
        await gateway.start()
        reloader.start(gateway)
        try:
            yield gateway, reloader
        finally:
            await reloader.stop()
            await gateway.stop(1)


@pytest.fixture
def site(tmp_path: Path, nats: NatsServer, caplog: pytest.LogCaptureFixture) -> Iterator[Site]:
    caplog.set_level(logging.INFO, "wsgw")
    made = Site(tmp_path / "wsgw.yml", nats.url)
    made.write([IN])
    yield made
    for thread in [each for each in threading.enumerate() if "configuration" in each.name]:
        thread.join(DEADLINE_SECONDS)  # a look that was under way ends by itself
        assert not thread.is_alive()


def names(gateway: Gateway) -> set[str]:
    return {channel.name for channel in gateway.channels}


def reloads(gateway: Gateway, result: str) -> float:
    return value(gateway.metrics, "wsgw_config_reloads_total", result=result)


async def test_when_asked(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async with site.running() as (gateway, reloader):
        began = value(gateway.metrics, "wsgw_config_last_reload_success_timestamp_seconds")
        assert began > 0
        site.write([NEW, {**IN, "subject": "x"}], log={"level": "warn"}, listen="h:1", limits={"memory": "2 MiB"})
        reloader.request()
        await eventually(lambda: reloads(gateway, "success"), "read")
        assert names(gateway) == {"IN", "NEW"}
        assert [log.level for log in site.logs] == ["warn"]
        assert value(gateway.metrics, "wsgw_config_last_reload_successful") == 1
        assert value(gateway.metrics, "wsgw_config_last_reload_success_timestamp_seconds") > began
        reloader.request()
        await eventually(lambda: reloads(gateway, "success") == 2, "read again")
        assert reloads(gateway, "failure") == 0
    lines = [record.getMessage() for record in caplog.records]
    assert "configuration read again: added NEW; restarted IN" in lines
    assert "configuration read again: no channel has changed" in lines
    assert lines.count("configuration read again: as before until a restart: listen, limits.memory") == 2


async def test_other_proxies_are_trusted_from_now_on(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async with site.running() as (gateway, reloader):
        assert not gateway.edge.proxies.trusts("10.0.0.1")
        site.write([IN], trusted_proxies=["10.0.0.1"])
        reloader.request()
        await eventually(lambda: gateway.edge.proxies.trusts("10.0.0.1"), "read")
    assert "as before until a restart" not in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("channels: [{name: IN}]\n", ":1: channels[0].direction: is missing"),
        ("channels: [\n", "not YAML"),
        ("nats: {server: x}\nbroken: 1\n", ":2: broken: unknown key"),
        ("", ": it is empty"),
    ],
)
async def test_what_cannot_be_used(site: Site, caplog: pytest.LogCaptureFixture, text: str, said: str) -> None:
    async with site.running() as (gateway, reloader):
        table, bridge = gateway.channels, gateway.bridges._bridges["IN"]
        site.write_text(text)
        reloader.request()
        await eventually(lambda: reloads(gateway, "failure"), "read")
        assert gateway.channels is table
        assert gateway.bridges._bridges["IN"] is bridge
        assert site.logs == []
        assert value(gateway.metrics, "wsgw_config_last_reload_successful") == 0
        assert f"configuration not reloaded: {site.path}" in caplog.text
        assert said in caplog.text
        site.path.unlink()
        reloader.request()
        await eventually(lambda: reloads(gateway, "failure") == 2, "looked for")
        assert f"configuration not reloaded: {site.path}: No such file or directory" in caplog.text
        site.write([NEW])
        reloader.request()
        await eventually(lambda: reloads(gateway, "success"), "good again")
        assert value(gateway.metrics, "wsgw_config_last_reload_successful") == 1
        assert names(gateway) == {"NEW"}


async def test_a_fault_is_no_end(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async with site.running() as (gateway, reloader):

        def fail() -> None:
            raise RuntimeError("a fault")

        site.reading = fail
        reloader.request()
        await eventually(lambda: reloads(gateway, "failure"), "tried")
        assert "configuration not reloaded: a fault" in caplog.text
        site.reading = lambda: None
        reloader.request()
        await eventually(lambda: reloads(gateway, "success"), "read")


async def test_one_at_a_time_and_what_is_asked_meanwhile_once(site: Site) -> None:
    async with site.running() as (gateway, reloader):
        go = threading.Event()
        site.reading = lambda: (go.wait(30), None)[1]
        reloader.request()
        await eventually(lambda: site.reads, "it is being read")
        for _ in range(5):
            reloader.request()
        site.write([IN, NEW])
        go.set()
        await eventually(lambda: names(gateway) == {"IN", "NEW"}, "the last one counts")
        assert site.reads == 2


async def test_a_file_that_is_changed_while_it_is_read(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async with site.running() as (gateway, reloader):
        site.reading = lambda: site.write([IN, NEW])
        reloader.request()
        await eventually(lambda: reloads(gateway, "failure"), "tried")
        assert f"{site.path}: it was changed while it was read" in caplog.text
        assert names(gateway) == {"IN"}


async def test_no_file(caplog: pytest.LogCaptureFixture, nats: NatsServer) -> None:
    settings = load({"nats": {"servers": nats.url}, "watch": True}, {})
    reloader, gateway = Reloader(settings, None), Gateway(settings, Metrics())
    reloader.start(gateway)
    reloader.request()
    assert "SIGHUP: there is no configuration file to read again; nothing changes" in caplog.text
    await reloader.stop()


async def test_nothing_while_it_stops(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async with site.running() as (gateway, reloader):
        gateway.drain.begin()
        site.write([NEW])
        reloader.request()
        await eventually(lambda: "the gateway is stopping" in caplog.text, "said")
        assert names(gateway) == {"IN"}
        assert site.logs == []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.02)


@pytest.mark.usefixtures("quick")
async def test_a_file_that_is_watched(site: Site) -> None:
    site.write([IN], watch=True)
    async with site.running() as (gateway, _):
        await asyncio.sleep(0.1)  # some looks
        assert site.reads == 0
        site.write([IN, NEW], watch=True)
        await eventually(lambda: names(gateway) == {"IN", "NEW"}, "read")
        site.write_text("channels: [")
        await eventually(lambda: reloads(gateway, "failure"), "tried")
        reads = site.reads
        await asyncio.sleep(0.1)
        assert site.reads == reads, "a bad file is not read again and again"
        site.path.unlink()
        await eventually(lambda: reloads(gateway, "failure") == 2, "missed")
        site.write([NEW])  # and it is watched no more
        await eventually(lambda: names(gateway) == {"NEW"}, "read")
        site.write([IN])
        await asyncio.sleep(0.1)
        assert names(gateway) == {"NEW"}


@pytest.mark.usefixtures("quick")
async def test_watching_goes_on_where_there_was_no_thread_for_it(site: Site) -> None:
    site.write([IN], watch=True)
    async with site.running() as (gateway, _):
        with no_threads() as refused:
            await arrived(refused, 3)
        site.write([NEW], watch=True)
        await eventually(lambda: names(gateway) == {"NEW"}, "read")


@pytest.mark.usefixtures("quick")
async def test_where_there_is_no_thread_to_read_it(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """It is read as soon as there is one."""
    async with site.running() as (gateway, reloader):
        site.write([NEW])
        with no_threads() as refused:
            reloader.request()
            await arrived(refused, 3)
        await eventually(lambda: names(gateway) == {"NEW"}, "read")
    assert "configuration not reloaded until there is a thread for it: reading the configuration: can't" in caplog.text
    assert "a fault" not in caplog.text


@pytest.mark.usefixtures("quick")
async def test_watching_can_be_turned_on(site: Site) -> None:
    async with site.running() as (gateway, reloader):
        site.write([IN], watch=True)
        reloader.request()
        await eventually(lambda: reloads(gateway, "success"), "read")
        site.write([NEW], watch=True)
        await eventually(lambda: names(gateway) == {"NEW"}, "read by itself")


@pytest.mark.usefixtures("quick")
async def test_a_file_that_is_written_in_parts(site: Site) -> None:
    """It is read when it is whole: when nothing changes any more."""
    site.write([IN], watch=True)
    text = yaml.safe_dump({"nats": {"servers": [site.url]}, "watch": True, "channels": [IN, NEW]})
    async with site.running() as (gateway, _):
        with site.path.open("w") as out:
            for at in range(0, len(text), 20):
                out.write(text[at : at + 20])
                out.flush()
                await asyncio.sleep(0.01)
        await eventually(lambda: names(gateway) == {"IN", "NEW"}, "read")
        assert reloads(gateway, "failure") == 0


@pytest.mark.usefixtures("quick")
async def test_a_config_map(site: Site, tmp_path: Path) -> None:
    """As Kubernetes mounts it: ``wsgw.yml`` is a link into ``..data``, a link that is renamed over the one before."""

    def publish(version: str, channels: list[dict[str, Any]]) -> None:
        folder = tmp_path / f"..{version}"
        folder.mkdir()
        text = yaml.safe_dump({"nats": {"servers": [site.url]}, "watch": True, "channels": channels})
        (folder / "wsgw.yml").write_text(text)
        os.utime(folder / "wsgw.yml", (0, 0))
        link = tmp_path / "..data_tmp"
        link.symlink_to(folder.name)
        link.rename(tmp_path / "..data")

    publish("1", [IN])
    site.path.unlink()
    site.path.symlink_to("..data/wsgw.yml")
    async with site.running() as (gateway, _):
        publish("2", [NEW])
        await eventually(lambda: names(gateway) == {"NEW"}, "read")

"""The kinds of measurement. Each starts fresh servers, measures, and checks every message in a separate part."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bench.asker import asker_of
from bench.nats_feed import Publisher, Sink, publish_line
from bench.payload import payload, payload_now
from bench.processes import BenchError
from bench.responder import Responder
from bench.running import Bench, Meter, Values, running
from bench.starting import Setting
from bench.systems import System

#: Rounds in flight: the next one is published before the last has arrived, so a server never waits for the publisher.
WINDOW = 2
WARM_SECONDS = 0.7
#: Some systems confirm a subscription to the client before NATS has it.
SETTLE_SECONDS = 0.3
CHECKED_MESSAGES = 60
#: A paced load generator that slept until a message comes would be woken by every one, at the server's expense.
PACED_REST_SECONDS = 0.002
MIN_ROUNDS = 3
REQUESTS_AT_ONCE = 512
REST_SECONDS = (2.5, 8.0)


def fan_out(system: System, clients: int, size: int, messages: int, seconds: float, channels: int = 1) -> Values:
    """Saturated: rounds of ``messages`` on every channel, back to back, to ``clients`` on each channel."""
    names = ("IN",) if channels == 1 else tuple(f"c{number:04}" for number in range(channels))
    with running(system, Setting(channels=names)) as bench:
        bench.connect([name for name in names for _ in range(clients)])
        time.sleep(SETTLE_SECONDS)
        publisher = Publisher(bench.nats.nats_port)
        lines = b"".join(publish_line(name, payload(0, size)) for _ in range(messages) for name in names)
        bench.load.tell("count", size=size, messages=messages, acks=False)
        done = _rounds(bench, lambda: publisher.publish(lines), WARM_SECONDS, 0)
        meter = Meter(bench)
        rounds = _rounds(bench, lambda: publisher.publish(lines), seconds, done) - done
        values = meter.values(rounds * messages * clients * channels)
        _check_deliveries(bench, publisher, names, size, min(messages, CHECKED_MESSAGES))
        publisher.close()
        return values


def paced(system: System, clients: int, size: int, per_second: int, seconds: float) -> Values:
    """One message at a time, ``per_second`` of them. ``late`` says by how much the last one came after its time."""
    with running(system, Setting()) as bench:
        bench.connect(["IN"] * clients)
        time.sleep(SETTLE_SECONDS)
        publisher = Publisher(bench.nats.nats_port)
        line = publish_line("IN", payload(0, size))
        total = round(per_second * seconds)
        bench.load.tell("count", size=size, messages=total, acks=False, rest=PACED_REST_SECONDS)
        meter = Meter(bench)
        end = _pace(total, per_second, lambda _: publisher.publish(line))
        bench.load.wait_round(1)
        late = time.monotonic() - end
        values = meter.values(total * clients) | {"late": late}
        _check_deliveries(bench, publisher, ("IN",), size, CHECKED_MESSAGES)
        publisher.close()
        return values


def latency(system: System, clients: int, size: int, per_second: int, seconds: float) -> Values:
    """From the publisher's write to the client's read, every message of every client; in microseconds."""
    with running(system, Setting()) as bench:
        bench.connect(["IN"] * clients)
        time.sleep(SETTLE_SECONDS)
        publisher = Publisher(bench.nats.nats_port)
        warm = round(per_second * WARM_SECONDS)
        total = warm + round(per_second * seconds)
        bench.load.tell("check", size=size, first=0, messages=warm, acks=False, clock=True)
        _pace(warm, per_second, lambda number: publisher.publish(publish_line("IN", payload_now(number, size))))
        bench.load.wait_round(1)
        bench.load.tell("check", size=size, first=warm, messages=total - warm, acks=False, clock=True)
        meter = Meter(bench)
        _pace(
            total - warm,
            per_second,
            lambda number: publisher.publish(publish_line("IN", payload_now(warm + number, size))),
        )
        bench.load.wait_round(1)
        values = meter.values((total - warm) * clients)
        publisher.close()
        found = sorted(bench.load.latencies_ns())
        if len(found) != (total - warm) * clients:
            raise BenchError(f"{len(found)} latencies instead of {(total - warm) * clients}")
        at = {"p50": 0.5, "p99": 0.99}
        return values | {name: found[int(len(found) * share)] / 1e3 for name, share in at.items()}


def fan_in(
    system: System, clients: int, size: int, messages: int, seconds: float, acks: bool = False, close: bool = False
) -> Values:
    """Saturated: every client publishes rounds of ``messages``, one frame each; a subscriber on NATS gets them.

    With ``acks`` every message is acknowledged to its client; with ``close`` the connections are closed at the end,
    which the server has to answer with 1000 and is measured too.
    """
    with running(system, Setting()) as bench:
        sink = Sink(bench.nats.nats_port, "OUT", size, bench.load.check)
        bench.connect_senders(clients)
        time.sleep(SETTLE_SECONDS)
        if acks:
            bench.load.tell("count", size=size, messages=messages, acks=True)

        def send() -> None:
            bench.load.tell("send", size=size, messages=messages, acks=acks)

        def arrived(number: int) -> None:
            sink.take(messages * clients)
            if acks:
                bench.load.wait_round(number)

        done = _rounds(bench, send, WARM_SECONDS, 0, arrived)
        meter = Meter(bench)
        rounds = _rounds(bench, send, seconds, done, arrived) - done
        if not close:
            values = meter.values(rounds * messages * clients)
        checked = min(messages, CHECKED_MESSAGES)
        if close:
            _close(bench, clients)
            values = meter.values(rounds * messages * clients)
            bench.connect_senders(clients)
        if acks:
            bench.load.tell("check", size=size, first=0, messages=checked, acks=True, clock=False)
        bench.load.tell("send_numbered", size=size, messages=checked, acks=acks)
        sink.check(range(clients, 2 * clients) if close else range(clients), checked)
        if acks:
            bench.load.wait_round(1)
        if close:
            _close(bench, clients)
        sink.close()
        return values


def idle(system: System, clients: int, warm: int = 100) -> Values:
    """Memory that connections keep, in KB each, and CPU that opening one takes, in microseconds."""
    with running(system, Setting()) as bench:
        bench.connect(["IN"] * warm)
        time.sleep(SETTLE_SECONDS)
        _rest(bench)
        before = bench.server.memory()
        meter = Meter(bench)
        bench.connect(["IN"] * clients)
        connect = meter.values(clients)
        _rest(bench)
        after = bench.server.memory()
        publisher = Publisher(bench.nats.nats_port)
        _check_deliveries(bench, publisher, ("IN",), 128, 3)
        publisher.close()
        return {
            "rss_kb": (after.rss - before.rss) / clients / 1024,
            "pss_kb": (after.pss - before.pss) / clients / 1024,
            "connect_us": connect["us"],
            "load_us": connect["load_us"],
        }


def stalled(
    system: System, clients: int, size: int, per_second: int, seconds: float, every: int, outbox: tuple[int, int]
) -> Values:
    """One in ``every`` clients stops reading; the others have to get everything. ``growth_mb``: the server's memory."""
    with running(system, Setting(outbox=outbox), 120) as bench:
        bench.connect(["IN"] * clients, narrow=every)
        _rest(bench)
        healthy = clients - bench.load.stall()
        publisher = Publisher(bench.nats.nats_port)
        total = round(per_second * seconds)
        bench.load.tell("check", size=size, first=0, messages=total, acks=False, clock=True)
        before = bench.server.memory()
        peak = before.rss
        meter = Meter(bench)

        def publish(number: int) -> None:
            nonlocal peak
            publisher.publish(publish_line("IN", payload_now(number, size)))
            if number % per_second == 0:
                peak = max(peak, bench.server.memory().rss)

        _pace(total, per_second, publish)
        bench.load.wait_round(1)
        peak = max(peak, bench.server.memory().rss)
        values = meter.values(total * healthy)
        publisher.close()
        found = sorted(bench.load.latencies_ns())
        return values | {
            "missed": total * healthy - len(found),
            "growth_mb": (peak - before.rss) / 2**20,
            "p99_s": found[int(len(found) * 0.99)] / 1e9,
        }


def requests(system: System, concurrent: int, seconds: float) -> Values:
    """Saturated: so many requests are out at a time, and a process on NATS replies; each reply is looked at."""
    with running(system, Setting(channels=())) as bench, Responder(bench.nats.nats_port):
        asker = asker_of(system, bench.server.port, concurrent)
        count = concurrent * (REQUESTS_AT_ONCE // concurrent)
        _ask_for(WARM_SECONDS, lambda: asker.ask(count))
        meter = Meter(bench)
        used = time.process_time()
        asked = count * _ask_for(seconds, lambda: asker.ask(count))
        return meter.values(asked) | {"load_us": (time.process_time() - used) / asked * 1e6}


def _ask_for(seconds: float, ask: Callable[[], None]) -> int:
    """``ask`` again and again; how often."""
    end = time.monotonic() + seconds
    times = 0
    while not times or time.monotonic() < end:
        ask()
        times += 1
    return times


def _rounds(
    bench: Bench, send: Callable[[], None], seconds: float, done: int, arrived: Callable[[int], None] | None = None
) -> int:
    """Rounds back to back for ``seconds``, at least MIN_ROUNDS; the number of the last, ``done`` being that before."""
    wait = arrived or bench.load.wait_round
    first = sent = done
    end = time.monotonic() + seconds
    while time.monotonic() < end or done < first + MIN_ROUNDS:
        while sent < done + WINDOW:
            send()
            sent += 1
        done += 1
        wait(done)
    while done < sent:
        done += 1
        wait(done)
    bench.load.check_surplus(done)
    return done


def _pace(total: int, per_second: int, send: Callable[[int], None]) -> float:
    """Call ``send`` with 0 to ``total`` - 1, each at its time; returns the last one's time."""
    started = time.monotonic()
    due = started
    for number in range(total):
        due = started + number / per_second
        if (early := due - time.monotonic()) > 0:
            time.sleep(early)
        send(number)
    return due


def _check_deliveries(bench: Bench, publisher: Publisher, names: Sequence[str], size: int, messages: int) -> None:
    """Publish numbered messages: every client has to get all of its channel, whole and in order."""
    bench.load.tell("check", size=size, first=0, messages=messages, acks=False, clock=False)
    for number in range(messages):
        publisher.publish(b"".join(publish_line(name, payload(number, size)) for name in names))
    bench.load.wait_round(1)


def _close(bench: Bench, clients: int) -> None:
    codes = bench.load.close()
    if codes != {1000: clients}:
        raise BenchError(f"{bench.system.title} closed with {codes} instead of 1000 for all {clients}")


def _rest(bench: Bench) -> None:
    """Returns when the server does nothing any more, after nats-server's early ping; at most REST_SECONDS[1]."""
    shortest, longest = REST_SECONDS
    started = time.monotonic()
    used = bench.server.cpu_seconds()
    while (passed := time.monotonic() - started) < longest:
        time.sleep(0.5)
        before, used = used, bench.server.cpu_seconds()
        if passed >= shortest and used - before < 0.02:
            return

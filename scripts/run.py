"""`make run`: a real nats-server and the gateway, side by side until Ctrl-C.

Environment: PORT (3007), NATS_PORT (4222), and NATS_SERVERS, which names a NATS that runs already.
What NATS stores is in .data/, for each NATS port apart.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from wsgw.broker.servers import masked

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
STOP_SECONDS = 2.8
NATS_PORT = 4222


def fail(message: str) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(1)


def port_of(variable: str, default: int) -> int:
    text = os.environ.get(variable, "") or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        fail(f"{variable}={text} is not a port")
    return int(text)


def check_free(port: int, what: str, advice: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            fail(f"port {port} for {what} cannot be had: {error.strerror}. {advice}")


def wait_until_listening(port: int, process: subprocess.Popen[bytes], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            fail(f"{what} ended with exit code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    process.kill()
    fail(f"{what} does not listen on port {port} after {seconds:g} s")


def take_terminal() -> None:
    """Become the terminal's foreground process group: make then does not die of the Ctrl-C that is meant for us."""
    try:
        if os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp():
            os.setpgid(0, 0)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpgrp())
    except OSError:
        pass  # then make reports the interrupt, and everything stops all the same


def data_files(port: int) -> tuple[Path, Path]:
    """The folder for JetStream and the log file of the NATS on ``port``: two servers must not share either."""
    # without a number they hold what was stored before other ports had their own
    suffix = "" if port == NATS_PORT else f"-{port}"
    return ROOT / ".data" / f"nats{suffix}", ROOT / ".data" / f"nats-server{suffix}.log"


def start_nats(port: int) -> subprocess.Popen[bytes]:
    store, log = data_files(port)
    store.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        command = [str(BIN / "nats-server"), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(store)]
        return subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)


def stop(process: subprocess.Popen[bytes] | None, seconds: float) -> int:
    if process is None:
        return 0
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    port, nats_port = port_of("PORT", 3007), port_of("NATS_PORT", NATS_PORT)
    servers = os.environ.get("NATS_SERVERS", "")
    own_nats = not servers
    check_free(port, "the gateway", "Choose another: make run PORT=3008")
    if own_nats:
        advice = f"Choose another: make run NATS_PORT=4223. Or use what runs there: make run NATS_SERVERS=nats://127.0.0.1:{nats_port}"
        check_free(nats_port, "NATS", advice)
        servers = f"nats://127.0.0.1:{nats_port}"
    take_terminal()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, interrupt)
    nats = gateway = None
    store, nats_log = (path.relative_to(ROOT) for path in data_files(nats_port))
    try:
        if own_nats:
            nats = start_nats(nats_port)
            wait_until_listening(nats_port, nats, f"nats-server (its log: {nats_log})")
        command = [str(BIN / "wsgw"), "server", "-c", str(ROOT / "wsgw.yml"), "-p", str(port), "-n", servers]
        gateway = subprocess.Popen(command, start_new_session=True)
        wait_until_listening(port, gateway, "the gateway")
        path = os.path.relpath(BIN)
        shown = [masked(url if "://" in url else f"nats://{url}") for url in servers.replace(" ", "").split(",")]
        print(
            f"""
  Socket.IO   http://localhost:{port}         channels IN (NATS to clients) and OUT (clients to NATS)
  WebSocket   ws://localhost:{port}/ws/IN
  NATS        {", ".join(shown)}{f"   (started here, data in {store}/)" if own_nats else ""}
  Metrics     http://localhost:{port}/metrics

Now try, in two other terminals:

  {path}/wsgw consumer -u http://localhost:{port} -t IN
  {path}/wsgw producer -u {shown[0]} -t IN -m '{{"notes":"Some text..."}}'

Ctrl-C stops everything.
""",
            flush=True,
        )
        code = gateway.wait()
        print(f"the gateway ended with exit code {code}", file=sys.stderr)
    except KeyboardInterrupt:
        code = 0
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        stopped = stop(gateway, STOP_SECONDS)
        stop(nats, 0.4)
    if stopped == -signal.SIGTERM:  # it had not come up yet
        stopped = 0
    return stopped or code


if __name__ == "__main__":
    sys.exit(main())

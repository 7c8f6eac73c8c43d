"""The example of docs/security.md for TLS between the gateway and NATS, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from helpers.authority import Authority
from helpers.gateway import GatewayProcess
from helpers.guide import PAGE, Example
from helpers.nats_server import NatsServer
from helpers.ports import free_port
from helpers.waiting import eventually
from wsgw.config.file import read
from wsgw.config.load import load

TITLE = "Between the gateway and NATS"


async def test_they_know_one_another(nats: NatsServer, tmp_path: Path) -> None:
    folder = tmp_path / "example"
    folder.mkdir()
    example = Example(TITLE, folder, nats)
    (commands,) = example.others["sh"]
    assert example.shell(commands) == ["wsgw.yml: good, 1 channel"]
    port = free_port()
    configuration = example.files["nats.conf"].replace("4222", str(port))
    for name in ("localhost.crt", "localhost.key", "ca.pem"):
        configuration = configuration.replace(name, str(folder / name))
    server = NatsServer(folder, configuration, port)
    settings = yaml.safe_load(example.files["wsgw.yml"].replace("4222", str(port)))
    gateway = GatewayProcess(folder, settings, "--exit-if-no-nats")
    try:
        await gateway.ready()
        assert f"Connected to tls://localhost:{port}" in gateway.output
        until = "wsgw_certificate_expires_timestamp_seconds"
        await eventually(lambda: gateway.metric(until, certificate="nats"), "until when it is good is in the metrics")
    finally:
        gateway.kill()
        server.stop()


def test_what_is_commented_out(tmp_path: Path) -> None:
    """In the appliance's configuration: taken out of its comment it is good."""
    text = (PAGE.parents[1] / "gateway" / "wsgw.yml").read_text(encoding="utf-8")
    commented = re.search(r"^# nats:\n(?:#   .*\n)+", text, re.MULTILINE)
    assert commented is not None
    text = re.sub(r"^nats: .*\n", "", text, flags=re.MULTILINE)
    text = text.replace(commented[0], re.sub(r"^# ", "", commented[0], flags=re.MULTILINE))
    Authority(tmp_path).issue("gateway")
    path = tmp_path / "wsgw.yml"
    path.write_text(text.replace("/run/secrets/nats", str(tmp_path)))
    settings = load({}, {}, read(str(path)))
    assert settings.nats.servers == ["tls://nats:4222"]
    assert settings.nats.tls is not None
    assert settings.nats.tls.certificate_file == f"{tmp_path}/gateway.crt"

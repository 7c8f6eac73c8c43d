"""What docs/operations.md has for certificates by certbot, run as it stands there, with other folders."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import subprocess
from pathlib import Path

import yaml
from cryptography import x509

from helpers.authority import Authority, serial
from helpers.certificates import blind
from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.waiting import eventually
from wsgw.config.file import read
from wsgw.config.load import load

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def block(begin: str) -> str:
    found = re.search(rf"```\w*\n({re.escape(begin)}.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


async def shown(port: int) -> int:
    """The number of the certificate that clients get."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=blind())
    connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
    der = connection.getpeercert(True)
    writer.transport.abort()
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


async def test_by_certbot(nats: NatsServer, tmp_path: Path) -> None:
    etc, live = tmp_path / "etc", tmp_path / "live"
    hook = block("#!/bin/sh").replace("/etc/wsgw/tls", str(etc)).replace("-g wsgw", f"-g {os.getgid()}")
    settings = yaml.safe_load(block("listen: 0.0.0.0:443").replace("/etc/wsgw/tls", str(etc)))
    assert settings.pop("listen") == "0.0.0.0:443"
    authority = Authority(tmp_path)

    def renew(number: int) -> int:
        """As certbot does: links to the new pair, then the hook."""
        certificate, key = authority.issue(f"rt{number}", "rt.example")
        live.mkdir(exist_ok=True)
        for name, file in (("fullchain.pem", certificate), ("privkey.pem", key)):
            (live / name).unlink(missing_ok=True)
            (live / name).symlink_to(file)
        subprocess.run(["sh", "-c", hook], env=os.environ | {"RENEWED_LINEAGE": str(live)}, check=True, timeout=60)
        return serial(certificate)

    first = renew(1)
    channels = [{"name": "IN", "direction": "inbound"}]
    gateway = GatewayProcess(tmp_path, {"nats": {"servers": [nats.url]}, "channels": channels, **settings})
    try:
        assert await shown(gateway.port) == first
        for number in (2, 3):
            new = renew(number)

            async def is_shown(new: int = new) -> bool:
                return await shown(gateway.port) == new

            await eventually(is_shown, "the new certificate")  # type: ignore[arg-type]  # mypy finds no T for it
        assert oct((etc / "tls.key").stat().st_mode)[-3:] == "640"
        assert "Traceback" not in gateway.output
    finally:
        gateway.kill()


def test_what_is_commented_out_in_the_appliance(tmp_path: Path) -> None:
    """With TLS health and metrics are asked elsewhere: taken out of their comments these lines are good together."""
    text = (ROOT / "gateway" / "wsgw.yml").read_text(encoding="utf-8")
    for key in ("tls", "admin"):
        text, found = re.subn(rf"^# ({key}: .*)$", r"\1", text, flags=re.MULTILINE)
        assert found == 1
    certificate, key_file = Authority(tmp_path).issue("tls", "rt.example")
    path = tmp_path / "wsgw.yml"
    path.write_text(text.replace("/run/secrets/tls", str(tmp_path)))
    settings = load({}, {}, read(str(path)))
    assert settings.tls is not None
    assert (settings.tls.certificate_file, settings.tls.key_file) == (str(certificate), str(key_file))
    assert settings.admin is not None
    assert settings.admin.listen == "0.0.0.0:9307"
    assert ":/run/secrets/tls:ro" in (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

"""Secrets of the configuration: shown neither by -d nor in the log, metrics, readiness or errors, whatever happens."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from helpers.authority import Authority
from helpers.certificates import Pair
from helpers.gateway import GatewayProcess
from helpers.nats_server import NatsServer
from helpers.nkeys import USER, Nkey, Operator
from helpers.own_endpoint import OwnEndpoint
from helpers.secret_settings import secret_settings
from helpers.waiting import eventually
from wsgw.cli.server import dump
from wsgw.config.file import ConfigFile
from wsgw.config.hints import hints
from wsgw.config.load import load
from wsgw.errors import ConfigError

SECRET = "OpenSesame-0123456789-of-32-bytes"
#: What a NATS server says that knows another one.
OTHERS = 'authorization {user: nobody, password: "another"}'


@dataclass
class Site:
    """Settings ``keys`` that have ``secrets``, by ``configuration``; ``nats`` is that of a server that takes them."""

    keys: set[str]
    configuration: dict[str, Any]
    secrets: list[str]
    nats: str = ""
    scheme: str = "http"


def passwords(folder: Path) -> Site:
    pair = Pair(folder)
    return Site(
        {"nats.password", "auth.jwt.secret", "tls.key_file"},
        {
            "nats": {"user": "gateway", "password": f"{SECRET}-p"},
            "auth": {"jwt": {"secret": f"{SECRET}-s"}},
            "tls": pair.settings,
        },
        [f"{SECRET}-p", f"{SECRET}-s", *lines_of(pair.key)],
        f'authorization {{user: gateway, password: "{SECRET}-p"}}',
        "https",
    )


def token_and_tls(folder: Path) -> Site:
    authority = Authority(folder)
    server, key = authority.issue("localhost", "127.0.0.1")
    own, own_key = authority.issue("gateway")
    secret = folder / "secret.txt"
    secret.write_text(f"{SECRET}-f\n")
    return Site(
        {"nats.token", "auth.jwt.secret_file", "nats.tls.key_file"},
        {
            "nats": {
                "token": f"{SECRET}-t",
                "tls": {"ca_file": f"{authority.file}", "certificate_file": f"{own}", "key_file": f"{own_key}"},
            },
            "auth": {"jwt": {"secret_file": f"{secret}"}},
        },
        [f"{SECRET}-t", f"{SECRET}-f", *lines_of(own_key)],
        f'authorization {{token: "{SECRET}-t"}}\n'
        f"tls {{cert_file: {server}, key_file: {key}, ca_file: {authority.file}, verify: true}}",
    )


def credentials(folder: Path) -> Site:
    operator = Operator()
    file = operator.credentials(folder / "gateway.creds")
    return Site(
        {"nats.credentials_file", "auth.jwt.jwks_url"},
        {
            "nats": {"credentials_file": f"{file}"},
            "auth": {"jwt": {"jwks_url": f"http://127.0.0.1:1/keys?code={SECRET}", "audience": "wsgw"}},
        },
        [SECRET, *(line for line in lines_of(file) if " " not in line and "---" not in line)],
        operator.configuration,
    )


def nkey(folder: Path) -> Site:
    user = Nkey(USER)
    file = folder / "gateway.nk"
    file.write_text(user.seed)
    return Site(
        {"nats.nkey_seed_file", "auth.delegate.url"},
        {
            "nats": {"nkey_seed_file": f"{file}"},
            "auth": {"delegate": {"url": f"http://127.0.0.1:1/who?code={SECRET}"}},
        },
        [SECRET, user.seed],
        f"authorization {{users: [{{nkey: {user.public}}}]}}",
    )


def in_a_url(folder: Path) -> Site:
    return Site(
        {"nats.servers"},
        {"nats": {"servers": [f"nats://gateway:{SECRET}@"]}},
        [SECRET],
        f'authorization {{user: gateway, password: "{SECRET}"}}',
    )


SITES: list[Callable[[Path], Site]] = [passwords, token_and_tls, credentials, nkey, in_a_url]


def lines_of(file: Path) -> list[str]:
    """Those that say something."""
    return [line for line in file.read_text().splitlines() if len(line) > 20 and not line.startswith("-----")]


def shown(site: Site, text: str) -> list[str]:
    """Which of its secrets are in ``text``, as they are or in another writing."""
    ways: list[Callable[[str], str]] = [str, quote, lambda secret: base64.b64encode(secret.encode()).decode()]
    return [secret for secret in site.secrets if any(way(secret).rstrip("=") in text for way in ways)]


class Asked(GatewayProcess):
    """Shows its configuration, and logs all there is."""

    def _command(self) -> tuple[str, *tuple[str | Path, ...]]:
        return "wsgw", "server", "-c", self.file, "-p", "0", "-l", "silly", "-d"


def configured(site: Site, port: int) -> dict[str, Any]:
    """The configuration for a NATS server on that port."""
    nats = dict(site.configuration["nats"])
    scheme = "tls" if "tls" in nats else "nats"
    (start,) = nats.get("servers", [f"{scheme}://"])
    channels = [{"name": "OUT", "direction": "outbound"}]
    return {**site.configuration, "channels": channels, "nats": {**nats, "servers": [f"{start}127.0.0.1:{port}"]}}


def test_every_secret_has_a_site(tmp_path: Path) -> None:
    """A new setting with one needs a place here."""
    assert set().union(*(site(tmp_path).keys for site in SITES)) == secret_settings()


@pytest.mark.parametrize("make", SITES)
async def test_nothing_shows_them(tmp_path: Path, make: Callable[[Path], Site]) -> None:
    """While NATS takes them, and when it refuses them; what clients and operators are answered, and what is logged."""
    site = make(tmp_path)
    server = NatsServer(tmp_path, site.nats)
    gateway = Asked(tmp_path, configured(site, server.port))
    url = f"{site.scheme}://127.0.0.1:{gateway.port}"
    try:
        await eventually(lambda: "nats: Connected" in gateway.output, "NATS takes it")
        seen = await asked(url)
        server.stop()
        server = NatsServer(tmp_path, OTHERS, server.port)
        await eventually(lambda: "waiting for NATS" in gateway.output, "NATS refuses it")
        seen += await asked(url)
        await gateway.stop()
        assert "nats:\n" in gateway.output, "the configuration is shown"
        assert shown(site, gateway.output) == []
        assert shown(site, seen) == []
    finally:
        gateway.kill()
        server.stop()


async def asked(url: str) -> str:
    """All that is answered to who may know nothing, and to who shows something wrong."""
    seen = ""
    async with httpx.AsyncClient(verify=False, trust_env=False, timeout=30) as http:
        for path in ("/healthz", "/readyz", "/metrics", "/nothing"):
            answer = await http.get(url + path)
            seen += f"{answer.headers} {answer.text}"
        for headers in ({"Authorization": f"Bearer {token()}"}, {"Cookie": "a=b"}, {}):
            answer = await http.post(f"{url}/publish/OUT", content=b"x", headers=headers)
            seen += f"{answer.headers} {answer.text}"
    return seen


def token() -> str:
    """One that is not taken."""
    parts = (json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "x"}, {"sub": "ann"}))
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "AAAA"])


@pytest.mark.parametrize("make", SITES)
def test_no_error_shows_them(tmp_path: Path, make: Callable[[Path], Site]) -> None:
    """Where each of them, or what it is in, is of another form than it should be."""
    site = make(tmp_path)
    good = configured(site, 4222)
    said = refusal(good) + "\n".join(hints(load({}, {}, ConfigFile("x", good))))
    for key in site.keys:
        *section, name = key.split(".")
        given = value_of(good, [*section, name])
        for broken in ([given, given], {"a": given}, {f"{given}": 1}, f"{given}\0\n", f"@{given}"):
            said += refusal(changed(good, [*section, name], broken))
        if name.endswith("_file"):
            path = Path(given)
            content = path.read_text()
            for text in (content[: len(content) // 2], content[3:], f"x{content}", content * 2, content.lower()):
                path.write_text(text)
                said += refusal(good)
            path.write_text(content)
        else:
            said += refusal(changed(good, section, given))
    assert shown(site, said) == []


@pytest.mark.parametrize("scheme", ["nats", "tls"])
@pytest.mark.parametrize("sign", ["/", "?", "#", "12/", "12?", "1#", "[", "]", "\u2100", "@", ":", "%", " ", "\\"])
def test_passwords_that_no_url_may_have(scheme: str, sign: str) -> None:
    """What is behind them would be taken for a path, and not hidden; what a host may not have is shown by Python."""
    said = ""
    for user in ("user:", "", ":"):
        for secret in (f"{sign}{SECRET}", f"[{SECRET}{sign}]"):
            said += refusal({"nats": {"servers": [f"{scheme}://{user}{secret}@h:1"]}})
    assert SECRET not in said


async def test_a_call_that_fails_is_told_without_its_key(tmp_path: Path, nats_server: NatsServer) -> None:
    """An endpoint that shows in its answer what it was asked with."""
    own = OwnEndpoint()
    await own.start()
    own.say(500, {"error": f"no code {SECRET}"}, f"X-Asked: {SECRET}")
    auth = {"delegate": {"url": f"{own.url}?code={SECRET}"}}
    gateway = Asked(tmp_path, {"nats": {"servers": [nats_server.url]}, "auth": auth})
    try:
        await gateway.ready()
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"{gateway.url}/publish/OUT", headers={"Cookie": "a=b"})
        assert answer.status_code == 503
        assert SECRET in own.heads[0].decode(), "it is asked with the key"
        await eventually(lambda: "auth.delegate" in gateway.output.rpartition("App runs")[2], "it is logged")
        assert SECRET not in gateway.output + answer.text
    finally:
        gateway.kill()
        await own.close()


def refusal(values: Mapping[str, Any]) -> str:
    """Why they are refused; what is shown of them where they are not."""
    try:
        return dump(load({}, {}, ConfigFile("x", dict(values))))
    except ConfigError as error:
        return f"{error}\n"


def value_of(values: Mapping[str, Any], key: list[str]) -> Any:
    return values[key[0]] if len(key) == 1 else value_of(values[key[0]], key[1:])


def changed(values: Mapping[str, Any], key: list[str], value: Any) -> dict[str, Any]:
    """A copy, with another value at ``key``."""
    return {**values, key[0]: value if len(key) == 1 else changed(values[key[0]], key[1:], value)}

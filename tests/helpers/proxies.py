"""HAProxy, nginx and Caddy in front of a gateway: the configurations of docs/proxies.md with other ports and paths."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
import yaml

from helpers.authority import Authority
from helpers.guide import blocks
from helpers.ports import free_port
from helpers.program import Program

PAGE = Path(__file__).resolve().parents[2] / "docs" / "proxies.md"
#: Where it is ``required``, all three have to be there.
VARIABLE = "WSGW_PROXIES"
#: What stands for the gateway on the page, the name of its site, and the path that it may be below.
GATEWAY, NAME, PATH = "127.0.0.1:3007", "rt.example", "/rt"
#: And for another one.
SECOND = "127.0.0.1:3008"

#: A row of the page's table of what to write instead of what, in which file: without TLS, and below a path.
_ROW = re.compile(r"^\| ([\w.]+) \| `(.*)` \| (?:`(.*)` )?\| (?:`(.*)` )?\|$", re.MULTILINE)
#: One of that of what to add for another gateway, behind which line of which file.
_ADDED = re.compile(r"^\| ([\w.]+) \| `(.*)` \| `(.*)` \|$", re.MULTILINE)
#: One of that of what to write instead of what, in which file, where both are on one machine; and the socket there.
_BY_SOCKET = re.compile(r"^\| `(.*)` \| ([\w.]+) \| `(.*)` \|$", re.MULTILINE)
_SOCKET = "/run/wsgw/wsgw.sock"
#: Where nginx says what was asked, in its folder.
ACCESS_LOG = "access.log"
_NGINX_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Kind(NamedTuple):
    """A proxy: its ``program``, and its ``file`` on the page."""

    program: str
    file: str


KINDS = {
    "haproxy": Kind("haproxy", "haproxy.cfg"),
    "nginx": Kind("nginx", "nginx.conf"),
    "caddy": Kind("caddy", "Caddyfile"),
}


def found(kind: str) -> Path:
    """The program of that kind; without one the test is skipped, or fails where it is required."""
    program = KINDS[kind].program
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        _missing(program, program)
    return Path(path)


def found_stream() -> None:
    """The same for nginx's module that passes on connections."""
    found("nginx")
    if not list(Path("/etc/nginx/modules-enabled").glob("*stream*")):
        _missing("stream module of nginx", "libnginx-mod-stream")


def _missing(what: str, package: str) -> NoReturn:
    problem = f"there is no {what} on this machine; on Debian: apt-get install {package}"
    if os.environ.get(VARIABLE) == "required":
        pytest.fail(problem)
    pytest.skip(problem)


def files() -> dict[str, str]:
    """The page's blocks that begin with the name of a file, by that."""
    return blocks(PAGE.read_text(encoding="utf-8"))


def gateway_settings() -> dict[str, Any]:
    """What the page says that the gateway's file has, but for addresses, which tests take as they find them.

    Without ``admin`` metrics are where clients are, which is where tests ask for them.
    """
    settings: dict[str, Any] = yaml.safe_load(files()["wsgw.yml"])
    assert settings.pop("listen") == GATEWAY
    assert set(settings.pop("admin")) == {"listen"}
    return settings


def configured(kind: str, *, tls: bool = True, below: bool = False, two: bool = False) -> str:
    """A proxy's configuration, as the page has it."""
    name = KINDS[kind].file
    text = files()[name]
    for file, old, without_tls, below_path in _ROW.findall(PAGE.read_text(encoding="utf-8")):
        for wanted, new in ((not tls, without_tls), (below, below_path)):
            if file == name and wanted and new:
                text = replaced(text, {old: new})
    for file, line, added in _ADDED.findall(PAGE.read_text(encoding="utf-8")) if two else ():
        if file == name:
            text = replaced(text, {f"{line}\n": f"{line}\n{added}\n"})
    return text


def by_socket(file: str, text: str, path: Path) -> str:
    """``text``, which is of the page's ``file``, as the page has it for a unix socket, which is ``path``."""
    rows = _BY_SOCKET.findall(PAGE.read_text(encoding="utf-8"))
    return replaced(replaced(text, {old: new for old, name, new in rows if name == file}), {_SOCKET: str(path)})


def replaced(text: str, places: Mapping[str, str]) -> str:
    """``text`` with each of ``places`` changed, which have to be there."""
    for old, new in places.items():
        assert old in text, f"{old!r} is not in {text}"
        text = text.replace(old, new)
    return text


class RealProxy(Program):
    """One that runs until ``kill``, in ``folder``, which is its own. ``port`` is where it listens.

    ``text`` is its configuration, in which ``gateway_ports``, two at most, take the places of the gateway's.
    """

    def __init__(
        self, kind: str, folder: Path, text: str, gateway_ports: Iterable[int], authority: Authority | None = None
    ) -> None:
        self.port = free_port()
        self.folder = folder
        program = found(kind)
        file = folder / KINDS[kind].file
        text = _PLACED[kind](text, self.port, folder, authority)
        for place, port in zip((GATEWAY, SECOND), gateway_ports, strict=False):
            text = replaced(text, {place: f"127.0.0.1:{port}"})
        file.write_text(text, encoding="utf-8")
        homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
        super().__init__(folder, program, *_ARGUMENTS[kind](file), environment=homes)


def _certificates(folder: Path, authority: Authority | None) -> tuple[Path, Path]:
    """A certificate and its key; HAProxy has both in one file, beside them."""
    assert authority is not None
    certificate, key = authority.issue(NAME, NAME)
    return certificate, key


def _haproxy(text: str, port: int, folder: Path, authority: Authority | None) -> str:
    if " ssl crt" not in text:
        text, places = re.subn(r"bind :(80|443)$", f"bind 127.0.0.1:{port}", text, flags=re.MULTILINE)
        assert places == 1
        return text
    certificate, key = _certificates(folder, authority)
    both = folder / "rt.example.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    return replaced(text, {"bind :443": f"bind 127.0.0.1:{port}", "/etc/haproxy/rt.example.pem": str(both)})


def _nginx(text: str, port: int, folder: Path, authority: Authority | None) -> str:
    text, places = re.subn(r"listen (80|443)\b", f"listen 127.0.0.1:{port}", text)
    assert places == 1
    # its workers are somebody else's, who may not look into the test's folder
    user = "user root;" if os.geteuid() == 0 else ""
    if "http {" in text:
        certificate, key = _certificates(folder, authority)
        paths = "".join(f"{name}_temp_path {folder}/{name}; " for name in _NGINX_PATHS)
        text = replaced(
            text,
            {
                "/etc/nginx/rt.example.crt": str(certificate),
                "/etc/nginx/rt.example.key": str(key),
                "/var/log/nginx/access.log": str(folder / ACCESS_LOG),
                "http {": f"http {{ {paths}",
            },
        )
    return f"pid {folder}/nginx.pid; daemon off; {user}\n{text}"


def _caddy(text: str, port: int, folder: Path, authority: Authority | None) -> str:
    if f"http://{NAME}" in text:
        site = {f"http://{NAME}": f"http://{NAME}:{port}"}
    else:
        certificate, key = _certificates(folder, authority)
        site = {f"{NAME} {{": f"{NAME}:{port} {{\n\ttls {certificate} {key}"}
    return f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{replaced(text, site)}"


_PLACED = {"haproxy": _haproxy, "nginx": _nginx, "caddy": _caddy}
_ARGUMENTS: dict[str, Callable[[Path], Sequence[str | Path]]] = {
    "haproxy": lambda file: ("-db", "-f", file),
    "nginx": lambda file: ("-e", "stderr", "-c", file),
    "caddy": lambda file: ("run", "--config", file, "--adapter", "caddyfile"),
}

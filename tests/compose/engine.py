"""Whether a Docker engine with the appliance's images is at hand, and how to come by one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"


def kit() -> Path | None:
    """The folder that makes an engine and local images on a machine without them, if there is one.

    Named by ``WSGW_DOCKER_KIT``, else ``../shared/docker-kit`` beside the repository.
    """
    folder = Path(os.environ.get("WSGW_DOCKER_KIT") or ROOT.parent / "shared" / "docker-kit")
    return folder if (folder / "docker-kit.sh").is_file() else None


def _docker(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *args], capture_output=True, text=True, timeout=60, check=False)


def _answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return _docker("version").returncode == 0 and _docker("compose", "version").returncode == 0


def _images_are_here() -> bool:
    config = json.loads(_docker("compose", "-f", str(COMPOSE_FILE), "config", "--format", "json").stdout)
    images = {service["image"] for service in config["services"].values() if "build" not in service}
    images |= set(re.findall(r"^FROM (\S+)", (ROOT / "gateway" / "Dockerfile").read_text(), re.MULTILINE))
    return all(_docker("image", "inspect", image).returncode == 0 for image in images)


def obtain() -> str | None:
    """Sees to an engine that can bring the appliance up; returns why there is none, or ``None``.

    An engine that answers is used as it is and pulls what it lacks; the kit is called only where there is one and
    the engine or an image is missing.
    """
    folder = kit()
    if _answers() and (folder is None or _images_are_here()):
        return None
    if folder is None:
        return "no docker engine with Compose answers, and no docker-kit is at WSGW_DOCKER_KIT or ../shared/docker-kit"
    if os.geteuid() != 0:
        return f"{folder} needs root"
    command = ["bash", str(folder / "docker-kit.sh"), "up", "--compose", str(COMPOSE_FILE)]
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        return f"{folder}: not done in 600 s"
    return None if made.returncode == 0 else f"{folder}: {(made.stdout + made.stderr).strip()[-300:]}"

"""The path that all surfaces are below, such as ``/rt`` of an ingress (the setting ``base_path``).

What is below is served as if the path were not there: it is ASGI's ``root_path``. Health is answered without it, too,
for who asks the process past the ingress. Metrics are answered without it only: the ingress has no way to them.
"""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from typing import Any

#: Answered whether the base path is there or not.
EITHER_WAY = frozenset({"/healthz", "/readyz"})
#: Answered where it is not there.
ASIDE = frozenset({"/metrics"})


class BasePath:
    """``base`` is None where there is none."""

    def __init__(self, base: str | None) -> None:
        self._base = base or ""
        self._below = f"{self._base}/"

    def enter(self, scope: MutableMapping[str, Any]) -> str | None:
        """The path that ``scope`` asks for, as surfaces know it; None where nothing is served.

        Only what begins with the base path as it is written is below it: no dots are resolved, no slashes joined.
        """
        root: str = scope.get("root_path", "")
        path: str = scope["path"].removeprefix(root)
        if not self._base:
            return path
        if not path.startswith(self._below):
            return path if path in EITHER_WAY or path in ASIDE else None
        scope["root_path"] = root + self._base
        inner = path[len(self._base) :]
        return None if inner in ASIDE else inner

    def reached_by(self, paths: Collection[str]) -> frozenset[str]:
        """As clients ask for ``paths``."""
        return frozenset({*paths, *(self._base + each for each in EITHER_WAY if each in paths)})

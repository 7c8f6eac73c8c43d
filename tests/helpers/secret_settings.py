"""Which settings have secrets: by the settings themselves, so that a new one is not forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from wsgw.config.settings import Settings

#: Files that anybody may see; of every other file a setting names, nobody but the gateway.
PUBLIC_FILES = frozenset({"ca_file", "certificate_file", "public_key_file"})
#: What may have a user with a password, or a key in its query.
_URLS = ("url", "servers")


def secret_settings() -> set[str]:
    """Their keys, dotted: secrets themselves, files with secrets in them, and URLs that may have some."""
    return {key for key, kind in _leaves(Settings, "") if _is_secret(key.rpartition(".")[2], kind)}


def _is_secret(name: str, kind: Any) -> bool:
    if SecretStr in _parts(kind):
        return True
    return (name.endswith("_file") and name not in PUBLIC_FILES) or name.endswith(_URLS)


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        inner = [part for part in _parts(field.annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
        if not inner:
            yield f"{prefix}{name}", field.annotation
        for each in inner:
            yield from _leaves(each, f"{prefix}{name}.")


def _parts(kind: Any) -> set[Any]:
    """``kind`` and all that it is made of."""
    found = {kind} if isinstance(kind, type) else set()
    return found.union(*map(_parts, get_args(kind)))

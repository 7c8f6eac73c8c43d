"""YAML 1.2 with its core schema (yaml.org/spec/1.2.2, chapter 10.3), which PyYAML, a YAML 1.1 reader, does not have."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml
from yaml.constructor import ConstructorError

_TAG = "tag:yaml.org,2002:"
_NO_NUMBER = "what is said to be a number is none, or has too many digits"
_NAME = re.compile(r"[A-Za-z_-]{1,64}")


def shown_key(key: str) -> str:
    """``key`` in an error: its name, for what is behind that is a value, maybe a secret, where a blank is missing."""
    name = _NAME.match(key)
    return key if name is None or len(name[0]) == len(key) else f"{name[0]}..."


# The Python loader on purpose: the C one overflows the stack on deeply nested input.
class CoreLoader(yaml.SafeLoader):
    """``yes``, ``on``, ``NO``, ``1:30``, ``2026-01-01`` and ``1_000`` are strings, ``0o17`` is 15, ``010`` is 10."""

    # nothing is inherited: neither YAML 1.1's plain scalars nor its tags
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  as the base has it
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}

    def core_null(self, node: yaml.ScalarNode) -> None:
        self._text(node)  # refuses what is no scalar

    def core_bool(self, node: yaml.ScalarNode) -> bool:
        return self._text(node).lower() == "true"

    def core_int(self, node: yaml.ScalarNode) -> int:
        text = self._text(node)
        try:
            return int(text[2:], {"0o": 8, "0x": 16}[text[:2]]) if text[:2] in ("0o", "0x") else int(text)
        except ValueError:  # by its tag, maybe, and Python's words show what may be a secret
            raise ConstructorError(None, None, _NO_NUMBER, node.start_mark) from None

    def core_float(self, node: yaml.ScalarNode) -> float:
        try:
            return float(self._text(node).lower().replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            raise ConstructorError(None, None, _NO_NUMBER, node.start_mark) from None

    def core_map(self, node: yaml.MappingNode) -> Any:
        if not isinstance(node, yaml.MappingNode):
            raise ConstructorError(None, None, "not a mapping", node.start_mark)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    twice = f"the key {shown_key(key.value)!r} is there twice"
                    raise ConstructorError(None, None, twice, key.start_mark)
                seen.add((key.tag, key.value))
        return self.construct_yaml_map(node)

    def _text(self, node: yaml.ScalarNode) -> str:
        return str(self.construct_scalar(node))


CoreLoader.yaml_constructors |= {
    None: CoreLoader.construct_undefined,
    _TAG + "null": CoreLoader.core_null,
    _TAG + "bool": CoreLoader.core_bool,
    _TAG + "int": CoreLoader.core_int,
    _TAG + "float": CoreLoader.core_float,
    _TAG + "str": CoreLoader.construct_yaml_str,
    _TAG + "seq": CoreLoader.construct_yaml_seq,
    _TAG + "map": CoreLoader.core_map,
}

for _name, _pattern, _first in (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    CoreLoader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)


def load(text: str) -> object:
    """The one document in ``text`` as dicts, lists, strings, numbers, booleans and None.

    Raises ValueError with line and column. An alias to one of its own parents gives a value that contains itself.
    """
    try:
        return yaml.load(text, CoreLoader)  # noqa: S506  a SafeLoader
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None

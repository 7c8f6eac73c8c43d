"""Rights: which channels a client may subscribe to, publish to and ask, by name, in NATS' pattern syntax."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from wsgw.channels.channel import Use
from wsgw.channels.subjects import any_covers, any_overlaps, is_pattern, subject_problem

#: Names and patterns in all of one client's rights: each may be looked at for a name that is used the first time.
MAX_PATTERNS = 1000
#: Names of which is known that they are good.
MAX_KNOWN = 4096
#: The key of what may not be, whatever else is said.
DENY = "deny"

Names = Mapping[Use, Iterable[str]]


class Rights:
    """``allowed`` and ``denied``, by use, are names and patterns. What neither has is not allowed; deny wins."""

    __slots__ = ("_allowed", "_denied", "_patterns")

    def __init__(self, allowed: Names, denied: Names | None = None) -> None:
        self._allowed = _each_once(allowed)
        self._denied = _each_once(denied) if denied else _NONE
        self._patterns: dict[Use, tuple[str, ...]] = {}  # of what is allowed, once they are looked at

    def __or__(self, other: Rights) -> Rights:
        """What either allows; what either denies is denied."""
        return Rights(
            {use: (*self._allowed[use], *other._allowed[use]) for use in Use},
            {use: (*self._denied[use], *other._denied[use]) for use in Use},
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rights):
            return NotImplemented
        return self._allowed == other._allowed and self._denied == other._denied

    __hash__ = None  # type: ignore[assignment]  # nothing keeps them by what they say

    def __repr__(self) -> str:
        return f"Rights({self.as_json()})"

    def allow(self, use: Use, name: str) -> bool:
        """Whether ``name`` may be used so: all of it, where it has wildcards."""
        denied = self._denied[use]
        if denied and any_overlaps(denied, name):
            return False
        names = self._allowed[use]
        if name in names:
            return True
        patterns = self._patterns.get(use)
        if patterns is None:
            patterns = self._patterns[use] = tuple(filter(is_pattern, names))
        return any_covers(patterns, name)

    def as_json(self) -> dict[str, object]:
        """As a token's claim has them."""
        told: dict[str, object] = {use.value: list(names) for use, names in self._allowed.items()}
        denied = {use.value: list(names) for use, names in self._denied.items() if names}
        return told | {DENY: denied} if denied else told


def _each_once(names: Names) -> dict[Use, tuple[str, ...]]:
    return {use: tuple(dict.fromkeys(names.get(use, ()))) for use in _USES}


_USES = tuple(Use)
_KEYS = frozenset((*Use, DENY))
_NONE: dict[Use, tuple[str, ...]] = dict.fromkeys(_USES, ())
NO_RIGHTS = Rights({})


def rights_of(value: object) -> Rights:
    """What a claim, or a configuration, says; raises ValueError naming the place in it and the reason."""
    if not isinstance(value, Mapping):
        raise ValueError("is not a mapping with subscribe, publish and request")  # noqa: TRY004  bad input, not a fault
    for key in value:
        if key not in _KEYS:
            raise ValueError(f"has the unknown key {str(key)[:64]!r}; known are subscribe, publish, request and deny")
    allowed, count = _named(value, "")
    denied = value.get(DENY)
    denying = None
    if denied is not None or DENY in value:
        if not isinstance(denied, Mapping) or any(key not in _USES for key in denied):
            raise ValueError(f"{DENY}: is not a mapping with subscribe, publish and request")
        denying, more = _named(denied, f"{DENY}.")
        count += more
    if count > MAX_PATTERNS:
        raise ValueError(f"has {count} names, at most {MAX_PATTERNS} are taken")
    return Rights(allowed, denying)


def _named(value: Mapping[object, object], before: str) -> tuple[dict[Use, list[str]], int]:
    """The names in ``value``, by use, and how many they are."""
    found: dict[Use, list[str]] = {}
    count = 0
    for use in _USES:
        names = value.get(use)
        if names is not None or use in value:
            if not isinstance(names, list):
                raise ValueError(f"{before}{use}: is not a list of channel names")
            count += len(names)
            if count <= MAX_PATTERNS:  # else that is said
                for i, name in enumerate(names):
                    problem = _problem(name) if isinstance(name, str) else "is not a channel name"
                    if problem is not None:
                        raise ValueError(f"{before}{use}[{i}]: {problem}")
            found[use] = names
    return found, count


@lru_cache(MAX_KNOWN)
def _problem(name: str) -> str | None:
    """Why ``name`` is none; many clients' rights have the same."""
    problem = subject_problem(name, wildcards=True)
    return None if problem is None else f"{name[:64]!r} {problem}"

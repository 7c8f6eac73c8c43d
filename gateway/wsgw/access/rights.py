"""Rights: which channels a client may subscribe to, publish to and ask, by name, in NATS' pattern syntax."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wsgw.channels.channel import Use
from wsgw.channels.subjects import covers, is_pattern, overlap, subject_problem

#: Names and patterns in all of one client's rights: each may be looked at for a name that is used the first time.
MAX_PATTERNS = 1000
#: The key of what may not be, whatever else is said.
DENY = "deny"

#: The other keys, as texts.
_KEYS = frozenset(use.value for use in Use)

Names = Mapping[Use, Iterable[str]]


class Rights:
    """``allowed`` and ``denied``, by use, are names and patterns. What neither has is not allowed; deny wins."""

    __slots__ = ("_allowed", "_denied", "_names")

    def __init__(self, allowed: Names, denied: Names | None = None) -> None:
        self._allowed = {use: tuple(dict.fromkeys(allowed.get(use, ()))) for use in Use}
        self._denied = {use: tuple(dict.fromkeys((denied or {}).get(use, ()))) for use in Use}
        self._names = {  # most names are found without a look at any pattern
            use: frozenset(name for name in names if not is_pattern(name)) for use, names in self._allowed.items()
        }

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
        if any(overlap(pattern, name) for pattern in self._denied[use]):
            return False
        return name in self._names[use] or any(covers(pattern, name) for pattern in self._allowed[use])

    def as_json(self) -> dict[str, object]:
        """As a token's claim has them."""
        told: dict[str, object] = {use.value: list(names) for use, names in self._allowed.items()}
        denied = {use.value: list(names) for use, names in self._denied.items() if names}
        return told | {DENY: denied} if denied else told


NO_RIGHTS = Rights({})


def rights_of(value: object) -> Rights:
    """What a claim, or a configuration, says; raises ValueError naming the place in it and the reason."""
    if not isinstance(value, Mapping):
        raise ValueError("is not a mapping with subscribe, publish and request")  # noqa: TRY004  bad input, not a fault
    for key in value:
        if key != DENY and key not in _KEYS:
            raise ValueError(f"has the unknown key {str(key)[:64]!r}; known are subscribe, publish, request and deny")
    denied = value.get(DENY, {})
    if not isinstance(denied, Mapping) or any(key not in _KEYS for key in denied):
        raise ValueError(f"{DENY}: is not a mapping with subscribe, publish and request")
    allowing = {use: _names(value.get(use.value, ()), use.value) for use in Use}
    denying = {use: _names(denied.get(use.value, ()), f"{DENY}.{use.value}") for use in Use}
    count = sum(len(names) for each in (allowing, denying) for names in each.values())
    if count > MAX_PATTERNS:
        raise ValueError(f"has {count} names, at most {MAX_PATTERNS} are taken")
    return Rights(allowing, denying)


def _names(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key}: is not a list of channel names")  # noqa: TRY004
    for i, name in enumerate(value):
        if not isinstance(name, str):
            raise ValueError(f"{key}[{i}]: is not a channel name")  # noqa: TRY004
        problem = subject_problem(name, wildcards=True)
        if problem is not None:
            raise ValueError(f"{key}[{i}]: {name[:64]!r} {problem}")
    return tuple(value)

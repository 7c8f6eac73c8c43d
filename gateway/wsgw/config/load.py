"""The settings from the command line, the environment and the file, in that precedence; and what is wrong with them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

from wsgw.channels.channel import channel_problem
from wsgw.channels.subjects import overlap
from wsgw.config import file as configfile
from wsgw.config.auth import (
    AuthSettings,
    IdentityHeadersSettings,
    JwtSettings,
    NamesSettings,
    RightsSettings,
    RolesSettings,
)
from wsgw.config.delegate import AuthorizeSettings, DelegateSettings
from wsgw.config.file import ConfigFile
from wsgw.config.limits import LimitsSettings, QuotaSettings, UserLimitsSettings
from wsgw.config.listening import AdminSettings, TlsSettings, admin_problem, port_problem, tls_problem
from wsgw.config.nats import NatsSettings, NatsTlsSettings
from wsgw.config.natsuser import contradictions
from wsgw.config.origins import cookie_problem
from wsgw.config.settings import (
    ChannelSettings,
    DurableSettings,
    LogSettings,
    OnJoinSettings,
    OutboxSettings,
    Settings,
)
from wsgw.config.yaml12 import shown_key
from wsgw.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Variable:
    """Environment variables (the first one set counts) that fill the setting at ``key``."""

    names: tuple[str, ...]
    key: tuple[str, ...]
    read: Callable[[str], Any]


#: The one table of the environment. Channels are read apart: two variables make one list.
ENVIRONMENT: tuple[Variable, ...] = (
    Variable(("WSGW_LOG_LEVEL", "EASER_LOG_LEVEL"), ("log", "level"), str),
    Variable(("WSGW_LOG_FORMAT", "EASER_LOG_FORMAT"), ("log", "format"), str),
    Variable(("NATS_SERVERS", "PDMS_NATS_URI"), ("nats", "servers"), str),
    Variable(("NATS_USER",), ("nats", "user"), str),
    Variable(("NATS_PASS",), ("nats", "password"), str),
    Variable(("NATS_TOKEN",), ("nats", "token"), str),
    Variable(("WSGW_SERVER_PORT", "WEBSERVER_PORT"), ("port",), str),
    Variable(("PDMS_TIMEOUT",), ("request_timeout",), lambda text: f"{text.strip()}ms"),
)
#: In a URL: a password, maybe, whatever it was written behind.
_USER_INFO = re.compile(r"//[^/\s]*@")
#: Of a value in a message.
MAX_SHOWN_CHARS = 64
INBOUND_VARIABLE = "WSGW_INBOUND_TOPICS"
OUTBOUND_VARIABLE = "WSGW_OUTBOUND_TOPICS"


def load(
    command_line: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    file: ConfigFile | None = None,
) -> Settings:
    """The settings from the three sources; raises ConfigError with one line for each thing that is wrong.

    ``command_line`` has the nested keys of the file; its ``channels`` replace those of the file as a whole.
    """
    named: list[tuple[str, Mapping[str, Any]]] = [
        ("command line", command_line or {}),
        ("environment", _environment(os.environ if environment is None else environment)),
    ]
    sources = [source for _, source in named] + ([file.values] if file is not None else [])

    class Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **__: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(InitSettingsSource(settings_cls, dict(values)) for values in sources)

    def where(key: tuple[str | int, ...]) -> str:
        for name, source in named:
            if _has(source, key):
                return name
        return file.where(key) if file is not None else "defaults"

    settings: Settings | None = None
    problems: list[str] = []
    try:
        settings = Sourced()
    except ValidationError as error:
        for item in error.errors():
            known = _WORDS.get(item["type"])
            words = item["msg"] if known is None else known.format(given=_shown(item["input"]), **item.get("ctx", {}))
            problems.append(_problem(where, item["loc"], item["type"], words))
    channels = next((source["channels"] for source in sources if "channels" in source), None)
    problems += [f"{where(key)}: {dotted(key)}: {reason}" for key, reason in _channel_problems(channels)]
    if settings is not None and not problems:
        found = [
            *_portless(settings),
            *_exposed(settings),
            *_unfillable(settings),
            *_bad_certificate(settings),
            *_bad_key(settings),
            *_open_to_any_page(settings),
            *_bad_nats(settings),
        ]
        problems = [f"{where(key)}: {dotted(key)}: {reason}" for key, reason in found]
    if settings is None or problems:
        raise ConfigError("\n".join(problems))
    return settings


def channels_replaced_by(command_line: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> str | None:
    """Which of the two has channels, that take the place of a file's as a whole; None where neither has."""
    if "channels" in command_line:
        return "command line"
    return "environment" if "channels" in _environment(os.environ if environment is None else environment) else None


def _channel_problems(channels: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with those of ``channels``, as a source has them, that are good by themselves."""
    seen: set[str] = set()
    streams: dict[tuple[str, str], str] = {}  # and whose they are
    for i, values in enumerate(channels if isinstance(channels, list) else []):
        try:
            settings = ChannelSettings.model_validate(values)
        except ValidationError:
            continue  # told already
        channel = settings.channel(1.0)
        problem = channel_problem(channel)
        if problem is not None:
            key, reason = problem
            place = settings.subject_key if key == "subject" else tuple(key.split(".", 1))
            yield ("channels", i, *place), reason
        elif settings.name in seen:
            reason = f"channel {settings.name!r} is there twice; for both ways use direction: both"
            yield ("channels", i, "name"), reason
        durable = channel.durable
        if durable is not None and durable.managed:
            other = streams.setdefault((durable.api, durable.stream), settings.name)
            if other != settings.name:
                reason = (
                    f"channels {other!r} and {settings.name!r} both have the stream {durable.stream!r}; name another"
                )
                yield ("channels", i, "durable"), reason
        seen.add(settings.name)


def _exposed(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Channels by which clients could publish to where NATS answers the gateway, or to JetStream, under other names.

    Or hear what is asked about others, or ask it themselves.
    """
    channels = settings.channel_table()
    kept = {settings.nats.inbox_prefix: "nats.inbox_prefix"}
    for channel in channels:
        if channel.durable is not None and channel.durable.api_prefix is not None:
            kept[channel.durable.api_prefix] = "an api_prefix"
    deciding = {channel.authorize.subject for channel in channels if channel.authorize is not None}
    if settings.auth is not None and settings.auth.delegate is not None and settings.auth.delegate.subject is not None:
        deciding.add(settings.auth.delegate.subject)
    for i, (channel, given) in enumerate(zip(channels, settings.channels, strict=True)):
        for subject in deciding:
            if overlap(channel.subject, subject):
                reason = f"subject {channel.subject!r} has {subject!r} in it, where it is asked what clients may do"
                yield ("channels", i, *given.subject_key), reason
        for prefix, key in kept.items() if channel.takes else ():
            if overlap(channel.subject, f"{prefix}.>"):
                yield (
                    ("channels", i, *given.subject_key),
                    f"subject {channel.subject_text!r} is below {prefix!r}, which is {key}",
                )


def _portless(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """A port that says not of which address it is; an address that is there twice."""
    problem = port_problem(settings.listen, settings.port)
    if problem is not None:
        yield ("port",), problem
    elif settings.admin is not None:
        problem = admin_problem(settings.listen, settings.port, settings.admin.listen)
        if problem is not None:
            yield ("admin", "listen"), problem


def _bad_certificate(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """A certificate that cannot be read, or has another key."""
    if settings.tls is None:
        return
    problem = tls_problem(settings.listen)
    if problem is not None:
        yield ("tls",), problem
        return
    from wsgw.config.certificates import BadCertificateError, certificate_of  # takes long

    try:
        certificate_of(settings.tls)
    except BadCertificateError as error:
        yield ("tls", error.key), str(error)


def _bad_key(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The key of tokens that cannot be read, or is of no use."""
    if settings.auth is not None and settings.auth.jwt is not None:
        from wsgw.config.keys import BadKeyError, key_of  # takes long

        try:
            key_of(settings.auth.jwt)
        except BadKeyError as error:
            yield ("auth", "jwt", error.key), str(error)


def _bad_nats(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Files by which NATS and the gateway know one another that are of no use; two ways to say who the gateway is."""
    nats = settings.nats
    for key, reason in contradictions(nats):
        yield ("nats", *key), reason
    if nats.names_files:
        from wsgw.config.natssecurity import problems  # takes long

        for key, reason in problems(nats):
            yield ("nats", *key), reason


def _open_to_any_page(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Cookies that any page could use."""
    problem = cookie_problem(settings.origins, None if settings.auth is None else settings.auth.cookie_key)
    if problem is not None:
        yield ("origins",), problem


def _unfillable(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Channels whose subjects claims are to fill, which nobody has."""
    if settings.auth is not None:
        return
    for i, channel in enumerate(settings.channel_table()):
        if channel.template is not None:
            reason = (
                f"subject {channel.subject_text!r} is filled from clients' claims, which they have with 'auth' only"
            )
            yield ("channels", i, "subject"), reason


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable in ENVIRONMENT:
        text = next((environment[name] for name in variable.names if environment.get(name, "").strip()), None)
        if text is not None:
            inner = values
            for part in variable.key[:-1]:
                inner = inner.setdefault(part, {})
            inner[variable.key[-1]] = variable.read(text)
    lists = [environment.get(name, "") for name in (INBOUND_VARIABLE, OUTBOUND_VARIABLE)]
    if any(text.strip() for text in lists):
        values["channels"] = configfile.channels_of(*(configfile.split_names(text) for text in lists))
    return values


def _has(source: object, key: tuple[str | int, ...]) -> bool:
    for part in key:
        if isinstance(source, Mapping) and part in source:
            source = source[part]
        else:
            return isinstance(source, list)
    return True


def dotted(key: tuple[str | int, ...]) -> str:
    """``key`` as messages name it."""
    parts = [f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!r}]" for part in key]
    return "".join(parts).lstrip(".")


def _problem(where: Callable[[tuple[str | int, ...]], str], loc: tuple[str | int, ...], kind: str, message: str) -> str:
    shown = loc
    if kind == "extra_forbidden":
        shown = (*loc[:-1], shown_key(str(loc[-1])))
        message = "unknown key" + (_suggestion(loc) if shown == loc else "; behind the colon of a key there is a blank")
    return f"{where(loc)}: {dotted(shown)}: {_USER_INFO.sub('//***@', message.removeprefix('Value error, '))}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."


def _suggestion(loc: tuple[str | int, ...]) -> str:
    names = [part for part in loc[:-1] if isinstance(part, str)]
    inner = [".".join(names[-2:]), *reversed(names)]  # with the section around it, where others have one of that name
    section = next((_SECTIONS[name] for name in inner if name in _SECTIONS), Settings)
    known = section.model_fields
    close = difflib.get_close_matches(str(loc[-1]), known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(known)}"


_NO_SIZE = "{given} is not a size such as 64 KiB"
_NO_WHOLE_NUMBER = "{given} is not a whole number"
_NO_NUMBER = "{given} is not a number"
#: For pydantic's, by its name of the error: those are for who knows Python. What may be a secret is not ``given``.
_WORDS = {
    "missing": "is missing",
    "model_type": "keys are expected here",
    "list_type": "a list is expected here",
    "too_short": "of these, at least {min_length} is needed",
    "too_long": "of these, at most {max_length} can be had",
    "string_type": "a text is expected here; quotes make one of a number",
    "enum": "{given} is not one of {expected}",
    "byte_size": _NO_SIZE,
    "byte_size_unit": _NO_SIZE,
    "int_type": _NO_WHOLE_NUMBER,
    "int_parsing": _NO_WHOLE_NUMBER,
    "int_from_float": _NO_WHOLE_NUMBER,
    "float_type": _NO_NUMBER,
    "float_parsing": _NO_NUMBER,
    "greater_than": "{given} is too little; more than {gt:.15g} is needed",
    "greater_than_equal": "{given} is too little; at least {ge:.15g} is needed",
    "less_than_equal": "{given} is too much; at most {le:.15g} can be had",
}

_SECTIONS: dict[str, type[BaseModel]] = {
    "nats": NatsSettings,
    "tls": TlsSettings,
    "admin": AdminSettings,
    "nats.tls": NatsTlsSettings,
    "log": LogSettings,
    "limits": LimitsSettings,
    "limits.user": UserLimitsSettings,
    "limits.address": QuotaSettings,
    "channels": ChannelSettings,
    "outbox": OutboxSettings,
    "durable": DurableSettings,
    "on_join": OnJoinSettings,
    "auth": AuthSettings,
    "jwt": JwtSettings,
    "delegate": DelegateSettings,
    "anonymous": RightsSettings,
    "default": RightsSettings,
    "deny": NamesSettings,
    "roles": RolesSettings,
    "map": RightsSettings,
    "identity_headers": IdentityHeadersSettings,
    "authorize": AuthorizeSettings,
}

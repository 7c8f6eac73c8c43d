"""A channel: a configured, client-visible name with a direction and options."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wsgw.channels.authorize import Authorize
from wsgw.channels.durable import Durable, durable_problem
from wsgw.channels.hemera import Action, action_problem
from wsgw.channels.replyheaders import reply_header_problem
from wsgw.channels.subjects import is_pattern, refill, subject_problem, wildcards
from wsgw.channels.template import Template, key_of, name_in, template_of, values_of

#: Event names that Socket.IO keeps for itself, and the prefix of the gateway's own events.
RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
RESERVED_PREFIX = "wsgw:"


class Direction(StrEnum):
    """Seen from the client: inbound is NATS to client, outbound is client to NATS, request is asked and answered."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    BOTH = "both"
    REQUEST = "request"


class Use(StrEnum):
    """What a client can do with a channel."""

    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    REQUEST = "request"


#: What each direction is for.
USES: dict[Direction, tuple[Use, ...]] = {
    Direction.INBOUND: (Use.SUBSCRIBE,),
    Direction.OUTBOUND: (Use.PUBLISH,),
    Direction.BOTH: (Use.SUBSCRIBE, Use.PUBLISH),
    Direction.REQUEST: (Use.REQUEST,),
}


class SlowConsumer(StrEnum):
    """What happens to a client that does not take what the channel brings (the policy of a slow consumer)."""

    DROP_OLDEST = "drop_oldest"
    #: of each subject only the newest waits
    LATEST = "latest"
    DISCONNECT = "disconnect"


class OnGap(StrEnum):
    """What happens to a client of which publications are missing that cannot be told so: a bare WebSocket."""

    IGNORE = "ignore"
    CLOSE = "close"


class Payload(StrEnum):
    """What payloads are."""

    #: any bytes; clients get them as they are
    BYTES = "bytes"
    #: JSON; clients of protocols that have values get the value
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Channel:
    """One configured channel. A name with wildcards needs a ``subject`` with the same ones in the same order.
    ``hemera`` is the action whose messages it has, where they are hemera's. With a ``template``, whose ``subject`` it
    has, names lead to other subjects for clients with other claims: by *keys*, see ``channels.template``. ``authorize``
    says who is asked whether a client may use it.

    ``durable`` says which stream holds it, where one does; ``on_join_last`` is how many of the newest publications a
    client gets then that does not say where it stands. ``headers`` are those that clients may see: in envelopes, and of
    replies in answers over HTTP.
    """

    name: str
    direction: Direction
    subject: str = ""
    slow_consumer: SlowConsumer = SlowConsumer.DROP_OLDEST
    outbox_messages: int = 16_384
    outbox_bytes: int = 8 * 1024 * 1024
    timeout_seconds: float = 2.0
    durable: Durable | None = None
    payload: Payload = Payload.BYTES
    headers: tuple[str, ...] = ()
    on_join_last: int = 0
    on_gap: OnGap = OnGap.IGNORE
    hemera: Action | None = None
    template: Template | None = None
    authorize: Authorize | None = None

    def __post_init__(self) -> None:
        if not self.subject:
            object.__setattr__(self, "subject", self.name)

    @property
    def is_pattern(self) -> bool:
        """True when clients join or publish to names that match ``name``, false when they use ``name`` itself."""
        return is_pattern(self.name)

    @property
    def has_many_subjects(self) -> bool:
        """True when what clients use leads to subjects of their own choice, or of their claims."""
        return self.template is not None or self.is_pattern

    @property
    def subject_text(self) -> str:
        """The subject as configured."""
        return self.subject if self.template is None else self.template.text

    @property
    def uses(self) -> tuple[Use, ...]:
        """What clients can do with it."""
        return USES[self.direction]

    @property
    def delivers(self) -> bool:
        """True when clients may subscribe."""
        return Use.SUBSCRIBE in self.uses

    @property
    def accepts(self) -> bool:
        """True when clients may publish."""
        return Use.PUBLISH in self.uses

    @property
    def takes(self) -> bool:
        """True when clients may send to it, messages or requests."""
        return self.accepts or self.answers

    @property
    def answers(self) -> bool:
        """True when clients ask and a responder on NATS answers."""
        return Use.REQUEST in self.uses

    def subject_of(self, key: str) -> str:
        """The NATS subject of ``key``: of this channel's name, or of one that matches it as a pattern."""
        if self.template is not None:
            filled, name = self.template.filled(values_of(key)), name_in(key)
            return filled if name == self.name else refill(self.name, name, filled)
        name = key
        if name == self.name:
            return self.subject
        if self.subject == self.name:
            return name
        return refill(self.name, name, self.subject)

    def name_of(self, subject: str) -> str:
        """The key of ``subject``, the inverse of :meth:`subject_of`."""
        if self.template is not None:
            return self.keys_of(subject)[-1]
        if subject == self.subject or not self.is_pattern:
            return self.name
        if self.subject == self.name:
            return subject
        return refill(self.subject, subject, self.name)

    def keys_of(self, subject: str) -> tuple[str, ...]:
        """The keys by which what comes to ``subject`` is delivered: of this channel's name, and of that of a pattern.

        Of a channel with a template, whose ``subject`` matches.
        """
        assert self.template is not None
        values = self.template.values_in(subject)
        own = key_of(self.name, values)
        if not self.is_pattern:
            return (own,)
        return own, key_of(refill(self.template.filled(values), subject, self.name), values)


def channel_problem(channel: Channel) -> tuple[str, str] | None:
    """Why ``channel`` cannot be configured: the key (name or subject) to change and the reason; None when it can."""
    for what, value, text in (("name", channel.name, channel.name), ("subject", channel.subject, channel.subject_text)):
        problem = subject_problem(value, wildcards=True)
        if problem:
            return what, f"{what} {text!r} {problem}"
    if _has_placeholder(channel.name):
        return "name", f"name {channel.name!r} has a placeholder; names have none, give it by subject"
    if channel.name in RESERVED_EVENTS:
        return "name", f"name {channel.name!r} is a reserved Socket.IO event"
    if channel.name.startswith(RESERVED_PREFIX):
        reason = f"begins with {RESERVED_PREFIX!r}, which is kept for the gateway's own events"
        return "name", f"name {channel.name!r} {reason}"
    for header in channel.headers if channel.answers else ():
        problem = reply_header_problem(header)
        if problem is not None:
            return "headers", f"{header!r} {problem}"
    if channel.hemera is not None:
        refusal = _hemera_refusal(channel, channel.hemera)
        if refusal is not None:
            return refusal
    if channel.on_join_last and channel.durable is None:
        return "on_join", "nothing is kept of a channel that is not durable"
    problem = _subject_refusal(channel)
    if problem is not None:
        return "subject", f"subject {channel.subject_text!r} {problem}"
    return None if channel.durable is None else _durable_refusal(channel, channel.durable)


def _has_placeholder(name: str) -> bool:
    try:
        return template_of(name) is not None
    except ValueError:  # some brace
        return False


def _hemera_refusal(channel: Channel, action: Action) -> tuple[str, str] | None:
    if channel.template is not None:
        return "hemera", f"an action has one topic, and the subject {channel.subject_text!r} is filled for each client"
    if channel.is_pattern:
        return "hemera", f"the name {channel.name!r} is a pattern, and an action has one topic"
    if channel.durable is not None:
        return (
            "hemera",
            "a durable channel's stream has messages as clients get them; hemera's are unwrapped on the way",
        )
    problem = action_problem(action)
    if problem is not None:
        return f"hemera.{problem[0]}", problem[1]
    if action.topic != channel.subject:
        return "hemera.topic", f"topic {action.topic!r} is another one than the subject {channel.subject!r}; drop one"
    return None


def _durable_refusal(channel: Channel, durable: Durable) -> tuple[str, str] | None:
    if channel.answers:
        return "durable", "a request channel keeps nothing that a stream could hold"
    if channel.slow_consumer is not SlowConsumer.DISCONNECT:
        reason = (
            f"slow_consumer {channel.slow_consumer} would drop what a durable channel promises; disconnect is needed"
        )
        return "slow_consumer", reason
    problem = durable_problem(durable)
    return None if problem is None else (f"durable.{problem[0]}", problem[1])


def _subject_refusal(channel: Channel) -> str | None:
    template = channel.template
    own = wildcards(channel.subject) if template is None else template.wildcards
    if channel.is_pattern and wildcards(channel.name) != own:
        return f"needs the same wildcards in the same order as the name {channel.name!r}"
    if template is not None and template.placeholders[0].index == 0:
        return (
            "begins with a placeholder: claims could name NATS' own subjects "
            "($SYS, $JS, _INBOX); begin it with a fixed token"
        )
    if channel.accepts or channel.answers:
        first = channel.subject.split(".")[0]
        if first in ("*", ">"):
            return (
                "begins with a wildcard: clients could publish to NATS' own subjects "
                "($SYS, $JS, _INBOX); begin it with a fixed token"
            )
        if first.startswith("$") or first == "_INBOX":
            return "is one of NATS' own; clients may not publish to it"
        if not channel.is_pattern and own:
            return "has wildcards, but a message needs one subject to go to"
    return None

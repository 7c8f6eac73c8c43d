"""Whether a client may use a name, and which subject that is for it: decided here, for all that comes and goes."""

from __future__ import annotations

from collections.abc import Mapping

from wsgw.access.principal import Principal
from wsgw.access.rules import Rules
from wsgw.channels.channel import Channel, Use
from wsgw.channels.subjects import subject_problem
from wsgw.channels.template import key_of
from wsgw.errors import FORBIDDEN, GatewayError

_DOING = {Use.SUBSCRIBE: "subscribe to", Use.PUBLISH: "publish to", Use.REQUEST: "send requests to"}
_NO_CLAIMS: Mapping[str, object] = {}


def key_for(rules: Rules, principal: Principal, use: Use, channel: Channel, name: str) -> str:
    """The key of ``name``, which belongs to ``channel``, for ``principal``, who wants to ``use`` it so.

    Raises GatewayError (forbidden): where the rules say no, or it has no claim that can fill the channel's subject. The
    message says which claim, and never what it is.
    """
    if not rules.allow(principal, use, channel, name):
        raise forbidden(use, name)
    template = channel.template
    if template is None:
        return name
    claims = _NO_CLAIMS if principal.identity is None else principal.identity.claims
    try:
        key = key_of(name, template.values(claims))
    except ValueError as error:
        raise forbidden(use, name, str(error)) from None
    problem = subject_problem(channel.subject_of(key), wildcards=use is Use.SUBSCRIBE)
    if problem is not None:
        raise forbidden(use, name, f"its subject {problem}")
    return key


def forbidden(use: Use, name: str, why: str = "") -> GatewayError:
    """The error of who may not ``use`` a ``name`` so."""
    return GatewayError(FORBIDDEN, f"this client may not {_DOING[use]} {name!r}{f': {why}' if why else ''}")

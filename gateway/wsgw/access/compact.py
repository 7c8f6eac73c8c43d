"""The compact form of a signed token: three parts in base64url with dots between (RFC 7515 section 7.1).

Nothing in it is true before its signature has been checked, by PyJWT's algorithms (``signatures``). PyJWT's own way to
there takes three times as long as the rest of a token, most of it for a look at each character.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple

import orjson

from wsgw.errors import UNAUTHENTICATED, GatewayError

#: A token that is longer is refused: it is kept while a client comes in, and looked at whole.
MAX_TOKEN_BYTES = 16 * 1024
#: Of lists and objects within each other in claims. Users write some of them, by way of identity providers, and deeper
#: ones cannot be told to who is asked about a client.
MAX_NESTED = 100


class Compact(NamedTuple):
    """What is ``signed``, by which ``algorithm`` and by which key, its ``kid``; ``payload`` are its claims, in JSON."""

    algorithm: str
    kid: str | None
    signed: bytes
    payload: bytes
    signature: bytes


def compact(token: str) -> Compact:
    """The parts of ``token``, where it is of the form.

    Raises GatewayError (unauthenticated) with what is wrong, and nothing of the token.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise refusal(f"is longer than {MAX_TOKEN_BYTES} bytes")
    signed, _, signature = token.encode("utf-8", "replace").rpartition(b".")
    head, _, body = signed.partition(b".")
    if not head or not body or b"." in body:
        raise refusal("is not a signed JSON Web Token: that has three parts with dots between")
    header = _object(_decoded(head))
    if header is None:
        raise refusal("has a header that is no JSON object")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise refusal("does not say what it is signed by ('alg')")
    if kid is not None and not isinstance(kid, str):
        raise refusal("names its key ('kid') by something that is no text")
    if "crit" in header:  # RFC 7515 section 4.1.11: whoever knows no such extensions refuses
        raise refusal("has extensions ('crit') that are not known here")
    return Compact(algorithm, kid, signed, _decoded(body), _decoded(signature))


def claims_of(payload: bytes) -> dict[str, Any]:
    """The claims of a token whose signature is good; raises GatewayError (unauthenticated)."""
    claims = _object(payload)
    if claims is None:
        raise refusal("has claims that are no JSON object")
    if payload.count(b"[") + payload.count(b"{") > MAX_NESTED and _is_deep(claims):  # rarely so many
        raise refusal(f"has claims that are nested more than {MAX_NESTED} deep")
    return claims


def refusal(what: str) -> GatewayError:
    """Of a token: ``what`` is wrong with it."""
    return GatewayError(UNAUTHENTICATED, f"the token {what}")


def _decoded(part: bytes) -> bytes:
    try:
        data = urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        data = b""
    # the decoder leaves out what it does not know, and there are several texts for the same bytes
    if not data or urlsafe_b64encode(data).rstrip(b"=") != part:
        raise refusal("has a part that is not base64url")
    return data


def _is_deep(claims: dict[str, Any]) -> bool:
    level: list[Any] = [claims]
    for _ in range(MAX_NESTED):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
    return bool(level)


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

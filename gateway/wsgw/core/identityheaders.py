"""The headers by which back-ends know who sent what clients publish and ask: its user, and its session."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass

from wsgw.broker.headers import HeaderBlock, block_of
from wsgw.errors import FORBIDDEN, GatewayError

#: Of a user, as UTF-8. What stands for it is three times as long at most.
MAX_USER_BYTES = 1024
#: What is not visible ASCII; and what stands for it in the others' place.
_ENCODED = re.compile(rb"[^!-$&-~]")


@dataclass(frozen=True, slots=True)
class IdentityHeaders:
    """Their names; None: there is none."""

    user: str | None = None
    session: str | None = None

    def of(self, user: str | None, session: str) -> HeaderBlock | None:
        """Those of a client: of its ``user`` only where it has one. None where there are none.

        Raises GatewayError (forbidden) where the user is too long for one.
        """
        headers = {}
        if self.user is not None and user:
            headers[self.user] = _value(user)
        if self.session is not None:
            headers[self.session] = session
        return block_of(headers) if headers else None


def new_session_id() -> str:
    """What tells a session from others: 16 letters and digits."""
    return base64.b32encode(secrets.token_bytes(10)).decode()


def ids_of(user: str | None) -> str:
    """What goes before the ids of messages that ``user`` gives, or clients that have none.

    A stream knows ids whatever the subject. Who could guess those of others would have these others' messages taken for
    repeats: told as accepted, and not stored.
    """
    data = b"" if user is None else user.encode("utf-8", "surrogatepass")  # no user is empty
    return f"{hashlib.sha256(data).hexdigest()[:32]}:"


def _value(user: str) -> str:
    """``user`` percent-encoded (RFC 3986 section 2.1) where it is not visible ASCII, or ``%``.

    So no line ends in it, nothing at its ends is taken for a blank, and two users are never the same.
    """
    data = user.encode("utf-8", "surrogatepass") if len(user) <= MAX_USER_BYTES else b""
    if not data or len(data) > MAX_USER_BYTES:
        raise GatewayError(FORBIDDEN, f"this client's user is longer than {MAX_USER_BYTES} bytes")
    return _ENCODED.sub(lambda found: b"%%%02X" % found[0][0], data).decode()

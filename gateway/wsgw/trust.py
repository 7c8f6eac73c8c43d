"""Which certificates of servers are good: the same by every Python, and as nats-server and its other clients see it."""

from __future__ import annotations

import ssl


def verifying_as_others(context: ssl.SSLContext) -> ssl.SSLContext:
    """``context``, changed: it demands no extensions that somebody's own CA seldom has, as from Python 3.13 on it does;
    nor the root where what is below it is trusted, as it did before.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context

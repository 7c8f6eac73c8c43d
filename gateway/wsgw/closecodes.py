"""Close codes of WebSocket that have a meaning of their own: RFC 6455 section 7.4.1 and IANA's registry.

The registry is "WebSocket Close Code Number" (IANA, "WebSocket Protocol Registries"). Codes of this gateway's own,
4000-4999, stand in ``errors``.
"""

from __future__ import annotations

#: What the connection was for is done.
NORMAL = 1000
#: A server stops, or a page is left.
GOING_AWAY = 1001
#: The peer broke the protocol.
PROTOCOL_ERROR = 1002
#: The peer's close frame had no code. Never sent.
NO_STATUS = 1005
#: The connection was lost without a close frame. Never sent.
ABNORMAL = 1006
#: A message is not what its type says: text that is no UTF-8.
INVALID_DATA = 1007
#: A message breaks a rule of the receiver, where no other code fits.
POLICY_VIOLATION = 1008
#: A message is larger than the receiver takes.
TOO_BIG = 1009
#: The server cannot do what is asked because of a fault of its own.
INTERNAL_ERROR = 1011
#: The service is another one from now on; reconnecting makes sense.
SERVICE_RESTART = 1012
#: The server has too much to do, or lacks what it needs; reconnecting later makes sense.
TRY_AGAIN_LATER = 1013

"""The part of a socket whose client asked for recovery: where it stands, and telling it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson

from wsgw.bridges.place import Place
from wsgw.channels.position import MAX_STREAMS
from wsgw.channels.start import Start
from wsgw.core.gateway import Gateway
from wsgw.core.places import Places
from wsgw.core.session import Session
from wsgw.errors import TOO_MANY_SUBJECTS, GatewayError
from wsgw.fanout.sender import Sender
from wsgw.fanout.stamp import StampingSender
from wsgw.protocols.handshake import Handshake
from wsgw.protocols.socketio.arguments import Json
from wsgw.protocols.socketio.recovery import MAX_NAMES_LENGTH, Returning, names_text, new_pid
from wsgw.protocols.socketio.socket import Socket
from wsgw.protocols.socketio.wire import RECOVERY_ENVELOPE_WIRE, RECOVERY_WIRE, SOCKETIO_ENVELOPE_WIRE, SOCKETIO_WIRE

GAP = "wsgw:gap"
JOINED = "wsgw:joined"


def open_sender(gateway: Gateway, handshake: Handshake, overflowed: Callable[[], None]) -> Sender:
    """The sending half of a connection, as its query asks for it by ``envelope`` and ``recovery``."""
    enveloped = handshake.query.get("envelope") == "1"
    if handshake.query.get("recovery") != "1":
        return gateway.sender(SOCKETIO_ENVELOPE_WIRE if enveloped else SOCKETIO_WIRE, overflowed)
    return gateway.stamping_sender(RECOVERY_ENVELOPE_WIRE if enveloped else RECOVERY_WIRE, overflowed)


def gap(channels: list[str], missed: int | None) -> Json:
    """What the event ``wsgw:gap`` says."""
    return Json(orjson.dumps({"channels": channels, "missed": missed}).decode())


class Recovery:
    """Of one socket, from its CONNECT on; nothing comes from streams until it is ``connected``.

    ``returning`` is what the client said; ``close`` it in the end.
    """

    __slots__ = ("_connected", "_joined", "_joining", "_left", "_lost", "_places", "_sender", "_socket")

    def __init__(self, socket: Socket, session: Session, sender: StampingSender, returning: Returning | None) -> None:
        self._socket = socket
        self._sender = sender
        self._places = Places(sender, session.mark_of, None if returning is None else returning.after)
        self._connected = False
        self._joined = dict.fromkeys(returning.joined if returning is not None else ())
        self._left = dict.fromkeys(returning.left if returning is not None else ())
        self._joining: set[str] = set()  # their places are to be told
        self._lost: list[str] = []  # names that it had, and may have no more
        sender.cork()
        self._say_names()

    def lose(self, name: str) -> None:
        """It cannot have ``name`` again, which it had."""
        self._lost.append(name)
        self._joined.pop(name, None)
        self._say_names()

    async def begin(self, names: list[str], pid: str | None) -> None:
        """Returns when it is known where the client stands in all ``names``, those of durable channels, or late.

        It keeps the ``pid`` that it had where nothing is missing. Raises GatewayError where they are too many for one
        position.
        """
        _check_number(len(names))
        known: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell() -> None:
            if not known.done():
                known.set_result(None)

        self._places.expect(names, tell)
        await known
        recovered = pid is not None and self._places.recovered and not self._lost
        self._socket.pid = pid if recovered else new_pid(self._sender.stamp.text)

    def connected(self) -> None:
        """The CONNECT is answered: say what is missing, and let all come."""
        self._connected = True
        self._joining |= self._places.expected  # where it stands there is told when it is known
        self._tell_gaps()
        self._sender.uncork()

    def placed(self, name: str, place: Place) -> None:
        """See ``SessionClient.placed``."""
        self._places.placed(name, place)
        if not self._connected:
            return
        if name in self._joining:
            self._joining.discard(name)
            self._socket.emit(JOINED, Json(orjson.dumps({"channel": name}).decode()))
        self._tell_gaps()

    def check(self, name: str, *, durable: bool) -> None:
        """Raises GatewayError where the client could not say any more that it has joined ``name``."""
        if durable:
            _check_number(len(self._sender.stamp.marks) + len(self._joining) + 1)
        if name not in self._left and len(names_text([*self._joined, name], self._left)) > MAX_NAMES_LENGTH:
            raise GatewayError(
                TOO_MANY_SUBJECTS,
                f"a client with recovery may have joined names of {MAX_NAMES_LENGTH} characters since it connected",
            )

    def joining(self, name: str, *, durable: bool) -> None:
        """The client subscribes to ``name``, which it did not: it is told where that is."""
        if name in self._left:
            del self._left[name]
        else:
            self._joined[name] = None
        self._say_names()
        if durable:
            self._joining.add(name)
        else:
            self._socket.emit(JOINED, Json(orjson.dumps({"channel": name}).decode()))

    def left(self, name: str) -> None:
        """The client does not subscribe to ``name`` any more, which its next event says.

        Of very many it does not: then it has those again when it comes back.
        """
        if name in self._joined:
            del self._joined[name]
        elif len(names_text(self._joined, [*self._left, name])) <= MAX_NAMES_LENGTH:
            self._left[name] = None
        self._joining.discard(name)
        self._places.left(name)
        self._say_names()

    def removed(self, name: str) -> None:
        """``name`` is no channel any more: the client did not leave it, and has it again if it comes back."""
        self._joined.pop(name, None)
        self._joining.discard(name)
        self._places.left(name)
        self._say_names()

    def start_again(self, name: str) -> Start:
        """From where the client stands in ``name``; from now on where that is nowhere."""
        stamp = self._sender.stamp
        return Start(after={stamp.marks[name]: stamp.sequences[name]}) if name in stamp.marks else Start()

    def close(self) -> None:
        """The socket has ended, and its session."""
        self._places.close()
        self._sender.uncork()

    # -- inside

    def _tell_gaps(self) -> None:
        lost, self._lost = self._lost, []
        gaps, missed = self._places.take_gaps()
        if gaps or lost:
            self._socket.emit(GAP, gap(gaps + lost, None if lost else missed))

    def _say_names(self) -> None:
        self._sender.stamp = self._sender.stamp.saying(names_text(self._joined, self._left))


def _check_number(count: int) -> None:
    if count > MAX_STREAMS:
        raise GatewayError(
            TOO_MANY_SUBJECTS, f"a client with recovery may subscribe to {MAX_STREAMS} names of durable channels"
        )

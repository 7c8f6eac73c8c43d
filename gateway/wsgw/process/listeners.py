"""The sockets to listen on: opened all or none, with a word on which one and why, and closed with what they left.

None listens before all are bound: nobody connects to one of a gateway that does not start for another.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from wsgw.config.addresses import LOCALHOST, LOOPBACKS, Address, TcpAddress, UnixAddress, has_ipv4
from wsgw.errors import WsgwError

BACKLOG = 2048
#: libuv takes one connection of a listener in a round of its loop, which is long where others send all they can: who
#: came behind a few dozen waited for a second. So the listener is there as often: see ``Listener.repeat``.
ACCEPTS_PER_ROUND = 16
#: Of each connection, in the kernel, which would let it grow to many megabytes for a client that is held back.
RECEIVE_BUFFER_BYTES = 256 * 1024
#: How often two loopbacks are looked through for a port that is free on both.
PORT_TRIES = 32
#: How long another gateway that starts now is waited for; somebody else may hold that lock for ever.
LOCK_SECONDS, LOCK_TRIES = 1.0, 50

_WORDS = {
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "no permission",
    errno.ENOENT: "there is no such folder",
}
#: What says that there is no IPv6 here.
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


#: Of a file.
Identity = tuple[int, int, int]


class PortUnavailable(WsgwError):
    """The address to listen on cannot be had."""


class Listener:
    """One socket, not blocking, that listens from ``listen`` on. ``address`` is the one it has got, with its port.

    ``sockets`` is it as often as ``repeat`` has made it, once at first; ``close`` closes them all.
    """

    def __init__(self, address: Address, listening: socket.socket) -> None:
        self.address = address
        self.socket = listening
        self.sockets = [listening]
        self.file = _identity(address.path) if isinstance(address, UnixAddress) else None

    @property
    def is_unix(self) -> bool:
        """Whether it is a unix socket."""
        return isinstance(self.address, UnixAddress)

    def listen(self) -> None:
        """From now on who connects is there for whoever accepts; raises PortUnavailable."""
        try:
            self.socket.listen(BACKLOG)
        except OSError as error:
            raise _unavailable(self.address, error) from None

    def repeat(self, accepts_per_round: int = ACCEPTS_PER_ROUND) -> None:
        """Have the socket as often as connections are to be taken of it in a round; raises OSError.

        Each copy is an open file: call it before ``shares.files`` counts those that are no clients'.
        """
        self.sockets += [self.socket.dup() for _ in range(accepts_per_round - len(self.sockets))]

    def close(self) -> None:
        """Listen no more; the file of a unix socket is removed, if it is this one's still. Harmless when done."""
        for each in self.sockets:
            each.close()
        if isinstance(self.address, UnixAddress) and self.file is not None:
            if _identity(self.address.path) == self.file:
                with suppress(OSError):
                    os.unlink(self.address.path)
            self.file = None


def open_listeners(addresses: Sequence[Address]) -> list[Listener]:
    """One for each of ``addresses``, two for ``localhost``; raises PortUnavailable naming the address and why."""
    return open_all(addresses)[0]


def open_all(*settings: Sequence[Address]) -> list[list[Listener]]:
    """As ``open_listeners``, for each of the ``settings``: all of them or none."""
    opened: list[list[Listener]] = [[] for _ in settings]
    with ExitStack() as until_they_listen:
        alone_in = _Folders(until_they_listen)
        try:
            for addresses, listeners in zip(settings, opened, strict=True):
                for address in addresses:
                    if isinstance(address, TcpAddress):
                        listeners += _tcp(address, only_ipv6=has_ipv4(address.port, addresses))
            # these last: names of hosts may take long, and others that start wait for these folders not for ever
            for addresses, listeners in zip(settings, opened, strict=True):
                for address in addresses:
                    if isinstance(address, UnixAddress):
                        ours = {each.file for every in opened for each in every}
                        listeners.append(_unix(address, alone_in, ours))
            for each in (each for every in opened for each in every):
                each.listen()
        except BaseException:
            for every in opened:
                close_all(every)
            raise
    return opened


def repeat_all(listeners: Sequence[Listener], most_files: int) -> None:
    """``repeat`` each of them, less often where not many files may be open.

    For each copy two more files are kept free of clients; a quarter of all is for this.
    """
    often = ACCEPTS_PER_ROUND
    if most_files != resource.RLIM_INFINITY:
        often = min(often, most_files // (12 * len(listeners)))
    for each in listeners:
        each.repeat(often)


def close_all(listeners: Sequence[Listener]) -> None:
    """Close each of them."""
    for each in listeners:
        each.close()


# -- TCP


def _tcp(address: TcpAddress, *, only_ipv6: bool = False) -> list[Listener]:
    if address.host.lower() == LOCALHOST:
        return _loopbacks(address.port)
    try:
        return [_bound(address, only_ipv6=only_ipv6)]
    except OSError as error:
        raise _unavailable(address, error) from None


def _unavailable(address: Address, error: OSError, named: str = "") -> PortUnavailable:
    behind = f" ({named})" if named else ""
    if error.errno == errno.EADDRINUSE and isinstance(address, TcpAddress):
        where = f"port {address.port} on {address.host}{behind}"
        return PortUnavailable(f"{where} is in use by another program; choose another with -p PORT")
    privileged = error.errno == errno.EACCES and isinstance(address, TcpAddress)
    what = "; a port below 1024 takes the capability CAP_NET_BIND_SERVICE" if privileged else ""
    return PortUnavailable(f"cannot listen on {address}{behind}: {_words(error)}{what}")


def _words(error: OSError) -> str:
    """Why; getaddrinfo's numbers are not the system's."""
    known = None if isinstance(error, socket.gaierror) else _WORDS.get(error.errno or 0)
    return known or error.strerror or str(error)


def _bound(address: TcpAddress, *, only_ipv6: bool = False) -> Listener:
    """Raises OSError."""
    family, kind, protocol, _, place = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only_ipv6))
        listener.bind(place)
        if not address.port:  # one that is bound only may be given away again; and nobody knows it yet
            listener.listen(BACKLOG)
        listener.setblocking(False)
        return Listener(TcpAddress(address.host, listener.getsockname()[1]), listener)
    except BaseException:
        listener.close()
        raise


def _loopbacks(port: int) -> list[Listener]:
    """Both, on the same port; that of IPv4 alone where there is no IPv6."""
    for tries_left in reversed(range(PORT_TRIES)):
        first = _on_loopback(TcpAddress(LOOPBACKS[0], port))
        other = TcpAddress(LOOPBACKS[1], first.socket.getsockname()[1])
        try:
            return [first, _bound(other, only_ipv6=True)]
        except OSError as error:
            if error.errno in _NO_IPV6:
                return [first]
            first.close()
            if port or not tries_left or error.errno != errno.EADDRINUSE:
                raise _unavailable(other, error, f"{LOCALHOST}:{port}") from None
    raise AssertionError


def _on_loopback(address: TcpAddress) -> Listener:
    try:
        return _bound(address)
    except OSError as error:
        raise _unavailable(address, error, f"{LOCALHOST}:{address.port}") from None


# -- unix sockets


class _Folders:
    """Those that no other gateway has its sockets in, until ``stack`` ends: see ``_alone_in``."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._held: set[str] = set()

    def hold(self, folder: Path) -> None:
        """Raises OSError."""
        resolved = os.path.realpath(folder)
        if resolved not in self._held:
            self._stack.enter_context(_alone_in(folder))
            self._held.add(resolved)


def _unix(address: UnixAddress, alone_in: _Folders, ours: Collection[Identity | None]) -> Listener:
    """``ours`` are the files of this gateway's other sockets."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        alone_in.hold(Path(address.path).parent)
        _remove_stale(address.path, ours)
        listener.bind(address.path)
        os.chmod(address.path, address.mode)  # nobody can connect before ``listen``
        listener.setblocking(False)
        return Listener(address, listener)
    except OSError as error:
        listener.close()
        raise _unavailable(address, error) from None
    except BaseException:
        listener.close()
        raise


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Of the gateways that start now: two could find the same file stale, and one remove what the other has made."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOCK_SECONDS / LOCK_TRIES)
            except OSError:  # a file system that knows no locks
                break
        yield
    finally:
        os.close(handle)


def _remove_stale(path: str, ours: Collection[Identity | None]) -> None:
    """Remove what a gateway left that was killed; raises PortUnavailable where that is something else."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise PortUnavailable(f"cannot listen on {UnixAddress(path)}: there is a file that is no socket")
    if _identity(path) in ours:
        raise PortUnavailable(f"cannot listen on {UnixAddress(path)}: it is there twice, under two names")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:  # somebody listens, and has much to do
            pass
    raise PortUnavailable(f"cannot listen on {UnixAddress(path)}: another program listens there")


def _identity(path: str) -> Identity | None:
    """Of the file at ``path``."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns  # numbers are given again; and who may connect may be changed

"""Sockets that listen: which, what is said where one cannot be had, and what stays behind."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from wsgw.config.addresses import TcpAddress, UnixAddress
from wsgw.process import listeners as module
from wsgw.process.listeners import Listener, PortUnavailable, close_all, open_all, open_listeners, repeat_all


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


def tcp(host: str, port: int = 0) -> list[Listener]:
    return open_listeners([TcpAddress(host, port)])


def ports(listeners: list[Listener]) -> list[int]:
    return [each.address.port for each in listeners if isinstance(each.address, TcpAddress)]


def reaches(family: int, place: object) -> bool:
    with socket.socket(family) as client:
        try:
            client.connect(place)  # type: ignore[arg-type]
        except OSError:
            return False
        return True


class TestTcp:
    def test_a_free_port(self) -> None:
        (listener,) = tcp("127.0.0.1")
        assert ports([listener])[0] > 0
        assert not listener.socket.getblocking()
        listener.close()

    def test_as_often_as_connections_are_taken_in_a_round(self) -> None:
        (listener,) = tcp("127.0.0.1")
        assert listener.sockets == [listener.socket]
        for _ in range(2):
            listener.repeat()
            assert len({each.fileno() for each in listener.sockets}) == module.ACCEPTS_PER_ROUND
        every = listener.sockets
        listener.close()
        assert {each.fileno() for each in every} == {-1}

    @pytest.mark.parametrize(
        ("most_files", "sockets"), [(64, 1), (200, 4), (768, 16), (10**6, 16), (resource.RLIM_INFINITY, 16)]
    )
    def test_less_often_where_files_are_few(self, most_files: int, sockets: int) -> None:
        listeners = [*tcp("127.0.0.1"), *tcp("127.0.0.1"), *tcp("127.0.0.1"), *tcp("127.0.0.1")]
        repeat_all(listeners, most_files)
        assert {len(each.sockets) for each in listeners} == {sockets}
        close_all(listeners)

    @ipv6
    def test_every_address_of_both_families(self) -> None:
        (listener,) = tcp("::")
        (port,) = ports([listener])
        assert reaches(socket.AF_INET, ("127.0.0.1", port))
        assert reaches(socket.AF_INET6, ("::1", port))
        assert str(listener.address) == f"[::]:{port}"
        listener.close()

    @ipv6
    def test_the_families_by_entries_of_their_own(self) -> None:
        (probe,) = tcp("0.0.0.0")
        (port,) = ports([probe])
        probe.close()
        for hosts in (("0.0.0.0", "::"), ("::", "127.0.0.1")):
            close_all(open_listeners([TcpAddress(host, port) for host in hosts]))

    def test_a_port_of_the_systems(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Root may have it; what the system says to others is said here."""

        def refused(address: TcpAddress, **_: object) -> Listener:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(module, "_bound", refused)
        said = (
            "cannot listen on 0.0.0.0:443: no permission; a port below 1024 takes the capability CAP_NET_BIND_SERVICE"
        )
        with pytest.raises(PortUnavailable, match=f"^{said}$"):
            tcp("0.0.0.0", 443)

    @ipv6
    def test_localhost_is_both_on_one_port(self) -> None:
        both = tcp("localhost")
        assert len(set(ports(both))) == 1
        assert [each.address.host for each in both if isinstance(each.address, TcpAddress)] == ["127.0.0.1", "::1"]
        assert reaches(socket.AF_INET, ("127.0.0.1", ports(both)[0]))
        assert reaches(socket.AF_INET6, ("::1", ports(both)[0]))
        close_all(both)

    @ipv6
    def test_localhost_takes_another_port_where_one_is_taken_on_the_other(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bound: Callable[..., Listener] = module._bound
        taken: list[TcpAddress] = []

        def once(address: TcpAddress, *, only_ipv6: bool = False) -> Listener:
            if address.host == "::1" and not taken:
                taken.append(address)
                raise OSError(98, "Address already in use")
            return bound(address, only_ipv6=only_ipv6)

        monkeypatch.setattr(module, "_bound", once)
        both = tcp("localhost")
        assert len(both) == 2
        assert ports(both)[0] != taken[0].port
        close_all(both)

    @ipv6
    def test_a_port_that_is_taken_on_the_other_loopback(self) -> None:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(PortUnavailable, match=rf"port {port} on ::1 \(localhost:{port}\) is in use"):
                tcp("localhost", port)
            assert not reaches(socket.AF_INET, ("127.0.0.1", port)), "it is all or none"

    def test_localhost_without_ipv6(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bound: Callable[..., Listener] = module._bound

        def without(address: TcpAddress, *, only_ipv6: bool = False) -> Listener:
            if address.host == "::1":
                raise OSError(99, "Cannot assign requested address")
            return bound(address, only_ipv6=only_ipv6)

        monkeypatch.setattr(module, "_bound", without)
        (alone,) = tcp("localhost")
        alone.close()

    def test_a_busy_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(PortUnavailable, match=f"port {port} on 127.0.0.1 is in use.*-p PORT"):
                tcp("127.0.0.1", port)

    def test_all_or_none(self, tmp_path: Path) -> None:
        path = tmp_path / "s"
        with socket.create_server(("127.0.0.1", 0)) as taken:
            busy = TcpAddress("127.0.0.1", taken.getsockname()[1])
            with pytest.raises(PortUnavailable, match="is in use"):
                open_listeners([UnixAddress(str(path)), busy])
        assert not path.exists()

    def test_nobody_connects_before_all_can_be_had(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path, (probe,) = tmp_path / "s", tcp("127.0.0.1")
        (port,) = ports([probe])
        probe.close()
        bound: Callable[..., Listener] = module._bound
        reached: list[bool] = []

        def look(address: TcpAddress, *, only_ipv6: bool = False) -> Listener:
            if address.host == "127.0.0.2":
                reached.append(reaches(socket.AF_INET, ("127.0.0.1", port)))
                reached.append(reaches(socket.AF_UNIX, str(path)))
            return bound(address, only_ipv6=only_ipv6)

        monkeypatch.setattr(module, "_bound", look)
        with socket.create_server(("127.0.0.2", 0)) as taken:
            busy = TcpAddress("127.0.0.2", taken.getsockname()[1])
            with pytest.raises(PortUnavailable, match=r"on 127\.0\.0\.2 is in use"):
                open_all([TcpAddress("127.0.0.1", port), UnixAddress(str(path))], [busy])
        assert reached == [False, False]
        assert not path.exists()

    def test_where_only_listening_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two may be bound to one address, by names that this machine gives it, of which one can listen."""
        (probe,) = tcp("127.0.0.1")
        (port,) = ports([probe])
        probe.close()
        with pytest.raises(PortUnavailable, match=f"port {port} on 127.0.0.1 is in use"):
            open_all([TcpAddress("127.0.0.1", port)], [TcpAddress("127.0.0.1", port)])
        close_all(tcp("127.0.0.1", port))

    def test_a_port_just_left(self) -> None:
        (first,) = tcp("127.0.0.1")
        (port,) = ports([first])
        with socket.create_connection(("127.0.0.1", port)):
            first.socket.setblocking(True)
            accepted, _ = first.socket.accept()
            accepted.close()
        first.close()
        close_all(tcp("127.0.0.1", port))

    @pytest.mark.parametrize(("host", "why"), [("192.0.2.1", "this machine has no such address"), ("no such host", "")])
    def test_an_address_of_others(self, host: str, why: str) -> None:
        with pytest.raises(PortUnavailable, match=f"cannot listen on {host}:0: {why}"):
            tcp(host)


class TestUnix:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "wsgw.sock"

    def test_its_mode_and_its_end(self, path: Path) -> None:
        for mode in (0o600, 0o660, 0o666):
            before = os.umask(0o077)
            try:
                (listener,) = open_listeners([UnixAddress(str(path), mode)])
            finally:
                os.umask(before)
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert reaches(socket.AF_UNIX, str(path))
            listener.close()
            listener.close()
            assert not path.exists()

    def test_whoever_may_connect_by_then_it_is_removed(self, path: Path) -> None:
        (listener,) = open_listeners([UnixAddress(str(path))])
        path.chmod(0o600)
        os.chown(path, -1, os.getgid())
        listener.close()
        assert not path.exists()

    def test_what_a_killed_one_left_is_removed(self, path: Path) -> None:
        (killed,) = open_listeners([UnixAddress(str(path))])
        killed.socket.close()
        (listener,) = open_listeners([UnixAddress(str(path))])
        assert reaches(socket.AF_UNIX, str(path))
        listener.close()

    def test_what_another_one_has_made_stays(self, path: Path) -> None:
        (first,) = open_listeners([UnixAddress(str(path))])
        first.socket.close()
        (second,) = open_listeners([UnixAddress(str(path))])
        first.close()
        assert reaches(socket.AF_UNIX, str(path)), "which would be removed by the one that came before"
        second.close()

    def test_where_somebody_listens(self, path: Path) -> None:
        (first,) = open_listeners([UnixAddress(str(path))])
        with pytest.raises(PortUnavailable, match=f"cannot listen on unix:{path}: another program listens there"):
            open_listeners([UnixAddress(str(path))])
        assert reaches(socket.AF_UNIX, str(path))
        first.close()

    def test_where_somebody_listens_and_has_much_to_do(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
            busy.bind(str(path))
            busy.listen(0)
            waiting.connect(str(path))
            with pytest.raises(PortUnavailable, match="another program listens there"):
                open_listeners([UnixAddress(str(path))])

    def test_a_file_that_is_no_socket_is_not_touched(self, path: Path) -> None:
        path.write_text("worth something")
        with pytest.raises(PortUnavailable, match=f"unix:{path}: there is a file that is no socket"):
            open_listeners([UnixAddress(str(path))])
        link = path.with_name("link")
        link.symlink_to(path)
        with pytest.raises(PortUnavailable, match="there is a file that is no socket"):
            open_listeners([UnixAddress(str(link))])
        assert path.read_text() == "worth something"

    def test_one_under_two_names(self, path: Path) -> None:
        """Which is not taken for one that was left, though nobody listens yet."""
        link = path.parent / "link"
        link.symlink_to(path.parent)
        with pytest.raises(PortUnavailable, match=f"cannot listen on unix:{link}/{path.name}: it is there twice"):
            open_listeners([UnixAddress(str(path)), UnixAddress(str(link / path.name))])
        assert not path.exists()

    def test_who_starts_meanwhile_does_not_take_what_is_not_listened_on_yet(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "LOCK_SECONDS", 0.05)
        listen, held = Listener.listen, list[bool]()

        def look(self: Listener) -> None:
            handle = os.open(path.parent, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(self.is_unix)
            os.close(handle)
            listen(self)

        monkeypatch.setattr(Listener, "listen", look)
        close_all(open_listeners([UnixAddress(str(path)), TcpAddress("127.0.0.1", 0), UnixAddress(f"{path}2")]))
        assert held == [False, True, True]

    def test_no_folder(self, path: Path) -> None:
        with pytest.raises(PortUnavailable, match="there is no such folder"):
            open_listeners([UnixAddress(str(path / "x"))])

    def test_a_folder_that_is_a_link_to_itself(self, path: Path) -> None:
        path.symlink_to(path)
        with pytest.raises(PortUnavailable, match=f"cannot listen on unix:{path}/x: Too many levels of symbolic links"):
            open_listeners([UnixAddress(f"{path}/x")])

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may do anything")
    def test_no_permission(self, path: Path) -> None:
        path.parent.chmod(0o500)
        with pytest.raises(PortUnavailable, match="no permission"):
            open_listeners([UnixAddress(str(path))])

    def test_the_words_for_no_permission(self) -> None:
        assert module._words(PermissionError(13, "Permission denied")) == "no permission"

    def test_who_holds_the_folder_for_ever_is_not_waited_for(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "LOCK_SECONDS", 0.05)
        handle = os.open(path.parent, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        close_all(open_listeners([UnixAddress(str(path))]))
        os.close(handle)

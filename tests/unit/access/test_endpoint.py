"""An endpoint over HTTP that decides on clients."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from helpers.authority import Authority
from helpers.own_endpoint import OwnEndpoint, handshake_headers
from helpers.ports import free_port
from helpers.waiting import arrived, eventually
from wsgw.access import endpoint as module
from wsgw.access.answer import Refusal, Shown, Unanswered
from wsgw.access.endpoint import Endpoint
from wsgw.errors import FORBIDDEN, UNAUTHENTICATED

COOKIE = Shown((("cookie", "sid=1"),), "10.1.2.3")


@pytest.fixture
async def own() -> AsyncIterator[OwnEndpoint]:
    server = OwnEndpoint()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def endpoint(own: OwnEndpoint) -> AsyncIterator[Endpoint]:
    made = Endpoint(own.url, 10)
    made.start()
    yield made
    await made.close()


async def test_it_gets_what_the_client_shows_and_its_address(own: OwnEndpoint, endpoint: Endpoint) -> None:
    shown = Shown((("authorization", "Bearer x"), ("cookie", "sid=\xe9")), "10.1.2.3")
    assert await endpoint.ask(shown) == b'{"user": "alice"}'
    assert own.heads[0].startswith(b"GET /auth HTTP/1.1\r\n")
    headers = handshake_headers(own.heads[0])
    assert headers.pop("user-agent").startswith("wsgw/")
    assert headers == {
        "host": f"127.0.0.1:{own.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": "Bearer x",
        "cookie": "sid=\xe9",
        "x-forwarded-for": "10.1.2.3",
    }


async def test_no_client_says_its_own_address(own: OwnEndpoint, endpoint: Endpoint) -> None:
    forged = (("x-forwarded-for", "127.0.0.1"), ("cookie", "a"))
    await endpoint.ask(Shown(forged, "10.1.2.3"))
    await endpoint.ask(Shown(forged, ""))
    assert handshake_headers(own.heads[0])["x-forwarded-for"] == "10.1.2.3"
    assert "x-forwarded-for" not in handshake_headers(own.heads[1])


async def test_line_breaks_make_no_headers(own: OwnEndpoint, endpoint: Endpoint) -> None:
    with pytest.raises(Unanswered, match="Illegal header value"):
        await endpoint.ask(Shown((("cookie", "a\r\nx-user: admin"),), ""))
    assert own.heads == []


async def test_nothing_of_one_answer_goes_along_with_another_client(own: OwnEndpoint, endpoint: Endpoint) -> None:
    own.say(200, {"user": "alice"}, "Set-Cookie: sid=alices; Path=/")
    await endpoint.ask(COOKIE)
    await endpoint.ask(Shown((("authorization", "Bearer x"),), ""))
    assert "cookie" not in handshake_headers(own.heads[1])
    assert own.connections == 1  # which was kept


async def test_401_and_403_refuse(own: OwnEndpoint, endpoint: Endpoint) -> None:
    own.say(401, b"")
    assert await endpoint.ask(COOKIE) == Refusal(UNAUTHENTICATED, UNAUTHENTICATED.summary)
    own.say(403, b"<html>")
    assert await endpoint.ask(COOKIE) == Refusal(FORBIDDEN, FORBIDDEN.summary)


@pytest.mark.parametrize("status", [204, 301, 302, 307, 404, 429, 500, 503])
async def test_any_other_status_is_no_answer_and_no_redirect_is_followed(
    own: OwnEndpoint, endpoint: Endpoint, status: int
) -> None:
    own.say(status, b"", f"Location: {own.url}/other")
    with pytest.raises(Unanswered, match=f"status {status}"):
        await endpoint.ask(COOKIE)
    assert len(own.heads) == 1


async def test_no_proxy_of_the_environment_is_shown_anything(own: OwnEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = OwnEndpoint()
    await proxy.start()
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    endpoint = Endpoint(own.url, 10)
    endpoint.start()
    assert await endpoint.ask(Shown((("cookie", "a"),), "")) == b'{"user": "alice"}'
    await endpoint.close()
    await proxy.close()
    assert (own.connections, proxy.connections) == (1, 0)


async def test_a_body_is_bounded_also_one_that_would_grow(own: OwnEndpoint, endpoint: Endpoint) -> None:
    own.say(200, b" " * 65_537)
    with pytest.raises(Unanswered, match="more than 65536 bytes"):
        await endpoint.ask(COOKIE)
    own.say(200, b" " * 65_536)
    assert len(await endpoint.ask(COOKIE)) == 65_536
    own.say(200, gzip.compress(b" " * 1_000_000), "Content-Encoding: gzip")
    with pytest.raises(Unanswered, match="content-encoding"):
        await endpoint.ask(COOKIE)


async def test_a_body_without_end_is_bounded_in_time(own: OwnEndpoint) -> None:
    endpoint = Endpoint(own.url, 0.2)
    endpoint.start()
    own.respond = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"
    with pytest.raises(Unanswered, match=r"within 0\.2 s"):
        await endpoint.ask(COOKIE)
    own.may_answer.clear()
    with pytest.raises(Unanswered, match=r"within 0\.2 s"):
        await endpoint.ask(COOKIE)
    await endpoint.close()


async def test_garbage_is_no_answer(own: OwnEndpoint, endpoint: Endpoint) -> None:
    own.respond = b"SSH-2.0-OpenSSH_9.2\r\n\r\n"
    with pytest.raises(Unanswered, match="RemoteProtocolError"):
        await endpoint.ask(COOKIE)


async def test_one_that_is_not_there_is_told() -> None:
    endpoint = Endpoint(f"http://127.0.0.1:{free_port()}/", 10)
    endpoint.start()
    with pytest.raises(Unanswered, match="ConnectError"):
        await endpoint.ask(COOKIE)
    await endpoint.close()
    with pytest.raises(Unanswered, match="stopping"):
        await endpoint.ask(COOKIE)


async def test_tls_by_a_certificate_that_is_trusted_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As simple as it may be, by every Python; its name is verified all the same."""
    certificate, key = Authority(tmp_path).issue("own", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(answer, "localhost", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        for host, good in (("localhost", True), ("127.0.0.1", False)):
            endpoint = Endpoint(f"https://{host}:{port}/", 10)
            endpoint.start()
            if good:
                assert await endpoint.ask(COOKIE) == b"{}"
            else:
                with pytest.raises(Unanswered):
                    await endpoint.ask(COOKIE)
            await endpoint.close()


async def test_a_query_is_in_no_log() -> None:
    url = f"http://127.0.0.1:{free_port()}/auth"
    endpoint = Endpoint(f"{url}?key=secret", 5)
    endpoint.start()
    with pytest.raises(Unanswered, match=f"^{url} cannot be asked") as failed:
        await endpoint.ask(COOKIE)
    assert "secret" not in str(failed.value)
    await endpoint.close()


async def test_a_kept_connection_that_has_ended_is_no_failure(own: OwnEndpoint, endpoint: Endpoint) -> None:
    own.requests_of_connection = 1
    for _ in range(5):
        await endpoint.ask(COOKIE)
    assert own.connections == 5


async def test_requests_of_many_go_at_once(own: OwnEndpoint, endpoint: Endpoint) -> None:
    own.may_answer.clear()
    asking = [asyncio.ensure_future(endpoint.ask(COOKIE)) for _ in range(20)]
    await arrived(own.heads, 20)
    own.may_answer.set()
    assert await asyncio.gather(*asking) == [b'{"user": "alice"}'] * 20


async def test_connections_are_kept_for_others_and_not_for_ever(
    own: OwnEndpoint, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await asyncio.gather(*(endpoint.ask(COOKIE) for _ in range(10)))
    assert own.connections == 10
    await endpoint.ask(COOKIE)
    assert len(endpoint._idle) == 10
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    await endpoint.ask(COOKIE)
    assert own.connections == 10
    await eventually(lambda: own.ended == 10, "each is ended that was not used for a while")
    assert not endpoint._idle


@pytest.mark.parametrize("cancelled", [True, False])
async def test_who_gave_up_leaves_no_connection_that_is_in_use(own: OwnEndpoint, cancelled: bool) -> None:
    endpoint = Endpoint(own.url, 60 if cancelled else 0.2)
    endpoint.start()
    own.may_answer.clear()
    asking = [asyncio.ensure_future(endpoint.ask(COOKIE)) for _ in range(10)]
    await arrived(own.heads, 10)
    for one in asking if cancelled else ():
        one.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert not endpoint._idle
    own.may_answer.set()
    assert await endpoint.ask(COOKIE) == b'{"user": "alice"}'
    await endpoint.close()

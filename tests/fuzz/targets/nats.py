"""What NATS, its services and JetStream send."""

from __future__ import annotations

from contextlib import suppress

from fuzz.target import Target, cut, plain
from wsgw.broker import headers, puback
from wsgw.broker.delivery import FullPublication
from wsgw.broker.info import MAX_PAYLOAD_BYTES, ServerInfo
from wsgw.broker.parser import DirectParser, ProtocolError
from wsgw.broker.violation import PermissionViolation
from wsgw.channels import position
from wsgw.channels.hemera import Action, Codec
from wsgw.errors import GatewayError

Heard = list[tuple[bytes, ...]]


def hear(pieces: list[bytes]) -> tuple[Heard, bool]:
    """What is made of them, and whether that is what a server may send."""
    heard: Heard = []

    def message(subject: bytes, payload: bytes, reply: bytes | None = None, block: bytes = b"") -> None:
        heard.append((subject, payload, reply or b"", block))

    parser = DirectParser({b"1": message, b"2": message}, lambda line: heard.append((line,)))
    for piece in pieces:
        try:
            while parser.feed(piece, 0.0):
                piece = b""
        except ProtocolError:
            return heard, False
    return heard, True


def stream(data: bytes) -> None:
    heard, good = hear([data])
    again, good_again = hear(cut(data))
    assert good_again is good
    # a line that never ends is a fault as soon as it is long, and not by how it is cut
    assert again == heard


def block(data: bytes) -> None:
    found = headers.parse(data)
    if found.fields:
        assert headers.parse(headers.encode(found.fields)).fields == found.fields


def info(data: bytes) -> None:
    with suppress(ValueError):
        said = ServerInfo.parse(data, ServerInfo())
        assert 0 < said.max_payload_bytes <= MAX_PAYLOAD_BYTES
        assert all(isinstance(url, str) for url in said.urls)


def line(data: bytes) -> None:
    PermissionViolation.parse(data)
    position.parse(data.decode("latin-1"))


def ack(data: bytes) -> None:
    payload, _, of = data.partition(b"\n")
    reply = FullPublication("a", payload, 0.0, b"", of)
    said = puback.parse(reply, "S")
    if isinstance(said, puback.Stored):
        assert said.sequence > 0
    puback.id_problem(data.decode("latin-1"))


CODEC = Codec(Action("math", (("cmd", "add"),)))


def hemera(data: bytes) -> None:
    with suppress(GatewayError):
        CODEC.wrap(data, "request")
    with suppress(GatewayError):
        CODEC.result(data)
    CODEC.unwrap(data)


WORDS = (
    *(b"MSG ", b"HMSG ", b"PING\r\n", b"INFO {", b"-ERR '", b"+OK\r\n", b"\r\n", b" 1 ", b" 2 ", b" 0\r\n\r\n", b"-1"),
    *(b"99999999999", b"NATS/1.0", b" 503", b" 100 Idle", b"\r\n\r\n", b": ", b"a 1 5\r\n", b"+5", b"0x1", b"1_0"),
)
JSON = (
    *(
        b'"stream"',
        b'"seq"',
        b'"error"',
        b'"err_code"',
        b'"description"',
        b'"duplicate"',
        b"true",
        b"null",
        b"{}",
        b"[]",
    ),
    *(b'"max_payload"', b'"headers"', b'"connect_urls"', b'"server_id"', b'"ldm"', b"1e999", b"-1", b"\\ud800", b"[[["),
    *(b'"pattern"', b'"request"', b'"result"', b'"topic"', b'"cmd"', b'"math"', b'"add"', b"$", b'"a$"', b'"meta"'),
)

TARGETS = (
    Target(
        "nats",
        plain(stream),
        (
            b"MSG a.b 1 5\r\nhello\r\nPING\r\nMSG a.b 1 reply 0\r\n\r\n",
            b"HMSG a 2 22 27\r\nNATS/1.0\r\nA: b\r\n\r\n12345hello\r\n",
            b"INFO {\"max_payload\":1}\r\n-ERR 'x'\r\nMSG z 3 1\r\nx\r\n",
        ),
        WORDS,
    ),
    Target("nats-headers", plain(block), (b"NATS/1.0\r\nA: b\r\nA: c\r\n\r\n", b"NATS/1.0 503\r\n\r\n"), WORDS),
    Target(
        "nats-info",
        plain(info),
        (b'{"server_id":"N","max_payload":1048576,"headers":true,"connect_urls":["a:4222","[::1]:1"],"ldm":false}',),
        JSON,
    ),
    Target(
        "nats-lines",
        plain(line),
        (b"-ERR 'Permissions Violation for Publish to \"a.\\x00b\\u00e9\"'", b"1.ab-5.cd-6"),
        (b"\\x", b"\\u", b"\\U", b'\\"', b"'", b'"', b"subscription to", b"1.", b"-", b"99999999999999999999"),
    ),
    Target(
        "puback",
        plain(ack),
        (
            b'{"stream":"S","seq":5,"duplicate":true}',
            b'{"error":{"code":503,"err_code":10077,"description":"x"}}',
            b"\nNATS/1.0 503\r\n\r\n",
        ),
        JSON,
    ),
    Target(
        "hemera", plain(hemera), (b'{"a":1}', b'{"pattern":{"topic":"math","cmd":"add","a$":1},"request":{}}'), JSON
    ),
)

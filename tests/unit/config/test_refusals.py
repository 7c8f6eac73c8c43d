"""What is wrong with a configuration file: told with file, line, key and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsgw.config.file import read
from wsgw.config.load import load
from wsgw.errors import ConfigError


def refused(text: str, folder: Path) -> list[str]:
    path = folder / "x.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(environment={}, file=read(str(path)))
    return [line.removeprefix(str(folder) + "/") for line in str(caught.value).splitlines()]


DURABLE = "  - {{name: {}, direction: both, durable: {}}}\n"
HEMERA = "channels:\n  - {{name: A, direction: {}, hemera: {}}}\n"
CHANNEL = "channels:\n  - {{name: {}, direction: {}}}\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("listne: a:1\n", ["x.yml:1: listne: unknown key; did you mean 'listen'?"]),
        ("nats:\n  severs: [a]\n", ["x.yml:2: nats.severs: unknown key; did you mean 'servers'?"]),
        ("log: {xyz: 1}\n", ["x.yml:1: log.xyz: unknown key; known here: level, format"]),
        ("limits: {head_byte: 1}\n", ["x.yml:1: limits.head_byte: unknown key; did you mean 'head_bytes'?"]),
        (
            "limits: {user: {conections: 1}}\n",
            ["x.yml:1: limits.user.conections: unknown key; did you mean 'connections'?"],
        ),
        (
            "limits: {address: {connections: 0}}\n",
            ["x.yml:1: limits.address.connections: 0 is too little; at least 1 is needed"],
        ),
        (
            "limits: {messages_per_second: true, user: {connections: true}, address: {connects_per_second: false}}\n",
            [
                "x.yml:1: limits.messages_per_second: true is not a number",
                "x.yml:1: limits.user.connections: true is not a number",
                "x.yml:1: limits.address.connects_per_second: false is not a number",
            ],
        ),
        ("limits:\n", ["x.yml:1: limits: keys are expected here"]),
        ("limits: 5\n", ["x.yml:1: limits: keys are expected here"]),
        ("channels: {name: A}\n", ["x.yml:1: channels: a list is expected here"]),
        ("limits: {memory: lots}\n", ["x.yml:1: limits.memory: 'lots' is not a size such as 64 KiB"]),
        ("limits: {memory: 1 XB}\n", ["x.yml:1: limits.memory: '1 XB' is not a size such as 64 KiB"]),
        (
            "limits: {head_bytes: 10, headers: 20000}\n",
            [
                "x.yml:1: limits.head_bytes: 10 is too little; at least 1024 is needed",
                "x.yml:1: limits.headers: 20000 is too much; at most 10000 can be had",
            ],
        ),
        ("drain_seconds: 0s\n", ["x.yml:1: drain_seconds: '0s' is too little; more than 0 is needed"]),
        (
            "limits: {messages_per_second: 0, burst: 100/s}\n",
            [
                "x.yml:1: limits.messages_per_second: 0 is too little; at least 0.01 is needed",
                "x.yml:1: limits.burst: '100/s' is not a duration such as 500ms, 2s or 1h",
            ],
        ),
        (
            "limits: {messages_per_second: 100/s, user: {connects_per_second: [1]}}\n",
            [
                "x.yml:1: limits.messages_per_second: '100/s' is not a number",
                "x.yml:1: limits.user.connects_per_second: [1] is not a number",
            ],
        ),
        (
            "limits: {messages_per_second: 20000000}\n",
            ["x.yml:1: limits.messages_per_second: 20000000 is too much; at most 10000000 can be had"],
        ),
        ("limits: {headers: x}\n", ["x.yml:1: limits.headers: 'x' is not a whole number"]),
        ("limits: {headers: [1]}\n", ["x.yml:1: limits.headers: [1] is not a whole number"]),
        ("limits: {headers: 11.5}\n", ["x.yml:1: limits.headers: 11.5 is not a whole number"]),
        ("port: " + "'" + "x" * 100 + "'\n", ["x.yml:1: port: '" + "x" * 63 + "... is not a whole number"]),
        (
            "nats: {password: 4711}\n",
            ["x.yml:1: nats.password: a text is expected here; quotes make one of a number"],
        ),
        (
            CHANNEL.format("A", "up"),
            ["x.yml:2: channels[0].direction: 'up' is not one of 'inbound', 'outbound', 'both' or 'request'"],
        ),
        ("channels:\n  - {name: A}\n", ["x.yml:2: channels[0].direction: is missing"]),
        (
            "channels:\n- name: A\n  direction: inbound\n  outbox: {mesages: 1}\n",
            ["x.yml:4: channels[0].outbox.mesages: unknown key; did you mean 'messages'?"],
        ),
        ("listen: here\n", ["x.yml:1: listen: 'here' is not HOST:PORT or unix:/PATH"]),
        ("listen: 'h:99999'\n", ["x.yml:1: listen: 'h:99999' is not HOST:PORT or unix:/PATH"]),
        (
            "nats: {servers: [http://a]}\n",
            ["x.yml:1: nats.servers: 'http://a' is not a NATS URL such as nats://HOST:4222 or tls://HOST:4222"],
        ),
        (
            "nats: {servers: ['ws://u:secret@a:1/x']}\n",
            [
                "x.yml:1: nats.servers: 'ws://a:1/x' is not a NATS URL such as nats://HOST:4222 or tls://HOST:4222; "
                "NATS over WebSocket is not spoken"
            ],
        ),
        (
            "nats: {servers: tls:/a}\n",
            ["x.yml:1: nats.servers: 'nats://tls:/a' is not a NATS URL such as nats://HOST:4222 or tls://HOST:4222"],
        ),
        (
            "nats: {servers: ['tls://u:secret@[::1']}\n",
            [
                "x.yml:1: nats.servers: '[::1': there are brackets, which are of IPv6 addresses and %5B and %5D "
                "elsewhere, or a letter that no host has"
            ],
        ),
        ("nats: {servers: []}\n", ["x.yml:1: nats.servers: at least one NATS URL is needed"]),
        (
            "auth: {delegate: {url: http://a/, headers: []}}\n",
            ["x.yml:1: auth.delegate.headers: of these, at least 1 is needed"],
        ),
        (
            f"auth: {{delegate: {{url: http://a/, headers: [{', '.join(f'h{i}' for i in range(33))}]}}}}\n",
            ["x.yml:1: auth.delegate.headers: of these, at most 32 can be had"],
        ),
        ("log: {level: loud}\n", ["x.yml:1: log.level: 'loud' is not one of error, warn, info, verbose, debug, silly"]),
        ("log: {format: xml}\n", ["x.yml:1: log.format: 'xml' is not one of plainText, json"]),
        (
            "request_timeout: soon\n",
            ["x.yml:1: request_timeout: 'soon' is not a duration such as 500ms, 2s or 1h"],
        ),
        (
            CHANNEL.format("'A B'", "inbound"),
            ["x.yml:2: channels[0].name: name 'A B' has a blank or control character (' ')"],
        ),
        (
            "channels:\n  - name: A\n    direction: inbound\n    subject: a b\n",
            ["x.yml:4: channels[0].subject: subject 'a b' has a blank or control character (' ')"],
        ),
        (
            CHANNEL.format("A", "inbound") + "  - {name: A, direction: outbound}\n",
            ["x.yml:3: channels[1].name: channel 'A' is there twice; for both ways use direction: both"],
        ),
        (
            "channels:\n  - name: A\n    direction: request\n    headers: [X-A, content-length]\n",
            [
                "x.yml:4: channels[0].headers: 'content-length' is a header that the gateway's HTTP server says "
                "itself; a reply's cannot stand in its place"
            ],
        ),
        (
            "nats: {inbox_prefix: 'a.>'}\n",
            ["x.yml:1: nats.inbox_prefix: 'a.>' has the wildcard '>'; a concrete name is needed"],
        ),
        (
            "nats: {inbox_prefix: app.gw}\nauth: {jwt: {secret: s}}\n"
            "channels:\n  - {name: A, direction: outbound, subject: 'app.{tenant}.x'}\n",
            ["x.yml:4: channels[0].subject: subject 'app.{tenant}.x' is below 'app.gw', which is nats.inbox_prefix"],
        ),
        (
            "channels:\n  - {name: A, direction: outbound, subject: 'a.x{sub}'}\n"
            "  - {name: B, direction: inbound, subject: '{sub}.x'}\n",
            [
                "x.yml:2: channels[0].subject: 'a.x{sub}' has 'x{sub}'; a placeholder is a whole token such as {sub} "
                "or {sub|sha256}",
                "x.yml:3: channels[1].subject: subject '{sub}.x' begins with a placeholder: claims could name NATS' "
                "own subjects ($SYS, $JS, _INBOX); begin it with a fixed token",
            ],
        ),
        (
            "nats: {inbox_prefix: _GATE.a}\n" + CHANNEL.format("'_GATE.*'", "inbound") + "  - {name: '_GATE.*.x', "
            "direction: request}\n  - {name: A, subject: _GATE.b.c, direction: outbound}\n",
            ["x.yml:4: channels[1].name: subject '_GATE.*.x' is below '_GATE.a', which is nats.inbox_prefix"],
        ),
        (
            "channels:\n"
            + DURABLE.format("A", "{api_prefix: JS.hub.API}")
            + "  - {name: B, subject: JS.hub.API.STREAM.DELETE.A, direction: outbound}\n",
            [
                "x.yml:3: channels[1].subject: subject 'JS.hub.API.STREAM.DELETE.A' is below 'JS.hub.API', "
                "which is an api_prefix"
            ],
        ),
        (
            "channels:\n" + DURABLE.format("a.1", "true") + DURABLE.format("a_1", "true"),
            ["x.yml:3: channels[1].durable: channels 'a.1' and 'a_1' both have the stream 'a_1'; name another"],
        ),
        (
            "channels:\n" + DURABLE.format("A", "{stream: B.C}"),
            ["x.yml:2: channels[0].durable.stream: stream 'B.C' is not a name of letters, digits, - and _"],
        ),
        (
            "channels:\n" + DURABLE.format("A", "{max_ages: 1h}"),
            ["x.yml:2: channels[0].durable.max_ages: unknown key; did you mean 'max_age'?"],
        ),
        (
            "channels:\n" + DURABLE.format("A", "true, slow_consumer: drop_oldest"),
            [
                "x.yml:2: channels[0].slow_consumer: slow_consumer drop_oldest would drop what a durable channel "
                "promises; disconnect is needed"
            ],
        ),
        (
            "channels:\n  - {name: A, direction: request, durable: true}\n",
            ["x.yml:2: channels[0].durable: a request channel keeps nothing that a stream could hold"],
        ),
        (
            HEMERA.format("both", "{topic: 'math.*', cmd: add}"),
            ["x.yml:2: channels[0].hemera.topic: topic 'math.*' has the wildcard '*'; a concrete name is needed"],
        ),
        (
            HEMERA.format("both", "{topic: a b}"),
            ["x.yml:2: channels[0].hemera.topic: subject 'a b' has a blank or control character (' ')"],
        ),
        (
            HEMERA.format("both", "{topic: 5}"),
            [
                "x.yml:2: channels[0].hemera: topic is a NATS subject, so a text is expected there; quotes make one "
                "of a number"
            ],
        ),
        (
            HEMERA.format("both", "{cmd: [add]}"),
            ["x.yml:2: channels[0].hemera.cmd: a text, a number, true or false is expected here"],
        ),
        (
            HEMERA.format("both", "{cmd: .nan}"),
            ["x.yml:2: channels[0].hemera.cmd: a text, a number, true or false is expected here"],
        ),
        *(
            (
                HEMERA.format("both", given),
                [
                    "x.yml:2: channels[0].hemera: true, or fields of a pattern such as {topic: math, cmd: add}, are "
                    "expected here"
                ],
            )
            for given in ("math", "[math]", "~")
        ),
        (
            HEMERA.format("both", "{a.b$: 1}"),
            [
                "x.yml:2: channels[0].hemera['a.b$']: field 'a.b$' ends with '$': such are options of hemera's client, "
                "and no pattern's"
            ],
        ),
        (
            HEMERA.format("request", "{topic: math}, subject: sums"),
            [
                "x.yml:2: channels[0].hemera.topic: topic 'math' is another one than the subject 'sums'; drop one",
            ],
        ),
        (
            HEMERA.format("request", "{topic: $SRV.PING}"),
            [
                "x.yml:2: channels[0].hemera.topic: subject '$SRV.PING' is one of NATS' own; clients may not publish "
                "to it"
            ],
        ),
        (
            "nats: {inbox_prefix: _GATE}\n" + HEMERA.format("request", "{topic: _GATE.x}"),
            ["x.yml:3: channels[0].hemera.topic: subject '_GATE.x' is below '_GATE', which is nats.inbox_prefix"],
        ),
        (
            HEMERA.format("both", "true, durable: true"),
            [
                "x.yml:2: channels[0].hemera: a durable channel's stream has messages as clients get them; hemera's "
                "are unwrapped on the way"
            ],
        ),
        (
            "channels:\n  - {name: 'a.*', direction: both, hemera: true}\n",
            ["x.yml:2: channels[0].hemera: the name 'a.*' is a pattern, and an action has one topic"],
        ),
        *(
            (CHANNEL.format("A", f"both, authorize: {given}"), [f"x.yml:2: channels[0].authorize{problem}"])
            for given, problem in (
                ("~", ": keys are expected here; leave it out where nobody is to be asked"),
                ("{}", ".subject: is missing"),
                ("{subject: 'auth.*'}", ".subject: 'auth.*' has the wildcard '*'; a concrete name is needed"),
                ("{subject: a.b, timeot: 1s}", ".timeot: unknown key; did you mean 'timeout'?"),
                ("{subject: a.b, timeout: 31s}", ".timeout: '31s' is too much; at most 30 can be had"),
            )
        ),
        (
            "auth: {delegate: {subject: auth.who}}\n" + CHANNEL.format("auth.*", "inbound"),
            ["x.yml:3: channels[0].name: subject 'auth.*' has 'auth.who' in it, where it is asked what clients may do"],
        ),
        (
            "channels:\n  - {name: A, direction: both, authorize: {subject: auth.room}}\n"
            "  - {name: '>', direction: inbound}\n  - {name: B, direction: outbound, subject: auth.room}\n",
            [
                "x.yml:3: channels[1].name: subject '>' has 'auth.room' in it, where it is asked what clients may do",
                "x.yml:4: channels[2].subject: subject 'auth.room' has 'auth.room' in it, where it is asked what "
                "clients may do",
            ],
        ),
        (
            CHANNEL.format("'>'", "outbound"),
            [
                "x.yml:2: channels[0].name: subject '>' begins with a wildcard: clients could publish to NATS' own "
                "subjects ($SYS, $JS, _INBOX); begin it with a fixed token"
            ],
        ),
    ],
)
def test_refusals_name_file_line_key_and_reason(tmp_path: Path, text: str, lines: list[str]) -> None:
    assert refused(text, tmp_path) == lines


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    lines = refused("port: -1\nlisten: x\nfoo: 1\ndrain_seconds: 0\n", tmp_path)
    assert [line.rpartition("yml:")[2][:10].partition(":")[0] for line in sorted(lines)] == ["1", "2", "3", "4"]
    assert {line.split(": ")[1] for line in lines} == {"port", "listen", "foo", "drain_seconds"}


def test_a_good_channel_is_checked_among_bad_keys(tmp_path: Path) -> None:
    text = (
        "foo: 1\nlog: {level: loud}\nchannels:\n  - {name: A}\n  - {name: B, direction: both}\n"
        "  - {name: B, direction: inbound}\n  - {name: '>', direction: outbound}\n  - {name: C D, direction: both}\n"
    )
    lines = refused(text, tmp_path)
    assert sorted(line.split(": ")[0] + " " + line.split(": ")[1] for line in lines) == [
        "x.yml:1 foo",
        "x.yml:2 log.level",
        "x.yml:4 channels[0].direction",
        "x.yml:6 channels[2].name",
        "x.yml:7 channels[3].name",
        "x.yml:8 channels[4].name",
    ]


@pytest.mark.parametrize(
    "text", ["max_subjects: 0", "channels: {}", "channels: [1]", "nats: 5", "log: ~", "port: x", "port: 1.5"]
)
def test_other_refusals(tmp_path: Path, text: str) -> None:
    (line,) = refused(text, tmp_path)
    assert line.startswith("x.yml:1: " + text.partition(":")[0])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nats: {password:hidden}", "nats['password...']: unknown key; behind the colon"),
        ("auth: {jwt: {secret = hidden}}", "auth.jwt['secret...']: unknown key; behind the colon"),
        ("wsServer: {}\nnats: {servers: h, password:hidden}", "nats.password...: easer's setting has no meaning"),
        ("nats: {servers: 'nats://h:1?token=hidden'}", "nats.servers: there is more behind the port"),
        ("nats: {servers: 'nats://h:x?token=hidden'}", "nats.servers: 'nats://h:x' is not a NATS URL"),
        ("nats: {servers: 'nats://h:1/hidden'}", "nats.servers: there is more behind the port"),
        ("nats: {servers: 'nats://h:1#hidden'}", "nats.servers: there is more behind the port"),
        ("listen: 'nats://u:hidden@h:1'", "listen: 'nats://***@h:1' is not HOST:PORT"),
        ("origins: ['https://u:hidden@h']", "origins: 'https://***@h' has more than"),
        ("nats: {nkey_seed_file: SUAMK2FG4MI6UE3AChidden}", "nats.nkey_seed_file: what is here is not shown"),
        (
            'tls: {certificate_file: "-----BEGIN\\nhidden", key_file: x}',
            "tls.certificate_file: what is here is not shown",
        ),
        ("auth: {jwt: {secret_file: correct-horse-hidden}}", "auth.jwt.secret_file: what is here is not shown"),
    ],
)
def test_what_may_be_a_secret_in_a_wrong_place_is_not_shown(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "x.yml").write_text(text)
    file = read(str(tmp_path / "x.yml"))
    shown = file.warnings
    try:
        load({}, {}, file)
    except ConfigError as error:
        shown = [*shown, str(error)]
    assert [line for line in shown if told in line], shown
    assert "hidden" not in str(shown)

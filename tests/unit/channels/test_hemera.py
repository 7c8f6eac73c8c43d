"""Hemera's messages: what is written is what is read, what cannot be is refused, and nothing that comes breaks it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.channels.hemera import MAX_SAID_CHARS, Action, Codec, Unlike, action_problem
from wsgw.errors import BAD_REQUEST, SERVICE_ERROR, GatewayError

ADD = Action("math", (("cmd", "add"),))
#: What nats-hemera 7.0.2 sends, and what it replies.
SENT = (
    b'{"pattern":{"topic":"math","cmd":"add","a":1,"b":2},"meta":{},"delegate":{},"trace":{"spanId":'
    b'"CKF5YCSTO2GLY3SB1VAFX3","traceId":"CKF5YCSTO2GLY3SB1VAG4M","timestamp":4071249.36677,"service":"math","method":'
    b'"a:1,b:2,cmd:add,topic:math"},"request":{"id":"CKF5YCSTO2GLY3SB1VAGC5","type":"request","service":"math",'
    b'"method":"a:1,b:2,cmd:add,topic:math"}}'
)
REPLIED = (
    b'{"meta":{},"trace":{"spanId":"CKF5YCSTO2GLY3SB1VAFX3","traceId":"CKF5YCSTO2GLY3SB1VAG4M","timestamp":4071249.36677,'
    b'"service":"math","method":"a:1,b:2,cmd:add,topic:math"},"request":{"id":"CKF5YCSTO2GLY3SB1VAGC5","type":"request",'
    b'"service":"math","method":"a:1,b:2,cmd:add,topic:math"},"result":{"sum":3},"error":null}'
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
fields = st.dictionaries(texts.filter(lambda name: not name.endswith("$") and name not in ("topic", "cmd")), values)


def written(value: object) -> bytes:
    return json.dumps(value).encode()


def unwrapped(codec: Codec, message: bytes) -> Any:
    payload = codec.unwrap(message)
    assert isinstance(payload, bytes)
    return json.loads(payload)


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def refusal(codec: Codec, payload: bytes) -> str:
    with pytest.raises(GatewayError) as caught:
        codec.wrap(payload, "request")
    assert caught.value.kind is BAD_REQUEST
    return caught.value.message


def error(reply: bytes) -> str:
    with pytest.raises(GatewayError) as caught:
        Codec(ADD).result(reply)
    assert caught.value.kind is SERVICE_ERROR
    return caught.value.message


class TestWrap:
    @pytest.mark.parametrize("kind", ["request", "pubsub"])
    def test_as_hemera_writes_it(self, kind: Any) -> None:
        message = json.loads(Codec(ADD).wrap(b'{"a": 1, "b": 2}', kind))
        id = message["request"]["id"]
        assert len(id) == 32
        trace = message["trace"]
        assert message == {
            "pattern": {"topic": "math", "cmd": "add", "a": 1, "b": 2},
            "meta": {},
            "delegate": {},
            "trace": {
                "traceId": id,
                "spanId": id,
                "timestamp": trace["timestamp"],
                "service": "math",
                "method": "cmd:add,topic:math",
            },
            "request": {"id": id, "type": kind, "service": "math", "method": "cmd:add,topic:math"},
        }
        sent = json.loads(SENT)
        assert message.keys() == sent.keys()
        for part in ("trace", "request"):
            kinds = [{name: type(value) for name, value in of[part].items()} for of in (message, sent)]
            assert kinds[0] == kinds[1]

    def test_each_has_an_id_of_its_own(self) -> None:
        codec = Codec(ADD)
        ids = {json.loads(codec.wrap(b"{}", "request"))["request"]["id"] for _ in range(100)}
        assert len(ids) == 100

    def test_the_method_is_in_words_of_javascript(self) -> None:
        codec = Codec(Action("t", (("b", True), ("a", 1.5), ("c", 2))))
        assert json.loads(codec.wrap(b"{}", "request"))["trace"]["method"] == "a:1.5,b:true,c:2,topic:t"

    @given(fields)
    def test_what_is_wrapped_is_unwrapped(self, given: dict[str, Any]) -> None:
        codec = Codec(ADD)
        assert unwrapped(codec, codec.wrap(written(given), "pubsub")) == {"topic": "math", "cmd": "add", **given}

    def test_the_channels_own_fields_may_be_there(self) -> None:
        codec = Codec(Action("t", (("n", 1), ("on", True))))
        assert unwrapped(codec, codec.wrap(b'{"n": 1.0, "on": true, "topic": "t"}', "pubsub")) == {
            "topic": "t",
            "n": 1,
            "on": True,
        }

    @pytest.mark.parametrize(
        ("payload", "words"),
        [
            (b'{"a":', "it is no JSON: unexpected end of data: line 1 column 6"),
            (b"", "it is no JSON"),
            (b"\xff", "it is no JSON"),
            (b"[1]", "it is an array"),
            (b'"text"', "it is a string"),
            (b"5", "it is a number"),
            (b"5.5", "it is a number"),
            (b"true", "it is true or false"),
            (b"null", "it is null"),
            (b'{"meta$": {}}', "its field 'meta$' ends with '$'"),
            (b'{"cmd": "sub"}', "its field 'cmd' is another one than the channel's"),
            (b'{"topic": ["math"]}', "its field 'topic' is another one than the channel's"),
            (nested(300), "it is nested too deeply"),
            (nested(3000), "it is no JSON: depth limit exceeded"),
        ],
    )
    def test_refused(self, payload: bytes, words: str) -> None:
        message = refusal(Codec(ADD), payload)
        assert message.startswith("this channel takes a JSON object, whose fields a service is given; of the payload, ")
        assert words in message

    def test_what_a_client_sends_is_not_repeated_without_end(self) -> None:
        assert len(refusal(Codec(ADD), written({"x" * 100_000 + "$": 1}))) < 300

    @pytest.mark.parametrize(("own", "given"), [(1, True), (True, 1), ("1", 1), (0, False), (1, None)])
    def test_true_is_no_number(self, own: Any, given: Any) -> None:
        codec = Codec(Action("t", (("n", own),)))
        assert "'n' is another one" in refusal(codec, written({"n": given}))
        message = json.loads(SENT) | {"pattern": {"topic": "t", "n": given}}
        assert codec.unwrap(written(message)) is Unlike.ELSEWHERE


class TestUnwrap:
    def test_as_hemera_writes_it(self) -> None:
        assert unwrapped(Codec(ADD), SENT) == {"topic": "math", "cmd": "add", "a": 1, "b": 2}
        assert unwrapped(Codec(Action("math")), SENT) == {"topic": "math", "cmd": "add", "a": 1, "b": 2}

    def test_options_are_left_out(self) -> None:
        message = json.loads(SENT)
        message["pattern"] |= {"meta$": {"secret": 1}, "a$b": 3}
        assert unwrapped(Codec(ADD), written(message)) == {"topic": "math", "cmd": "add", "a": 1, "b": 2, "a$b": 3}

    @pytest.mark.parametrize(
        "action", [Action("math", (("cmd", "sub"),)), Action("other"), Action("math", (("x", 1),))]
    )
    def test_of_another_action(self, action: Action) -> None:
        assert Codec(action).unwrap(SENT) is Unlike.ELSEWHERE

    @pytest.mark.parametrize(
        "message",
        [
            b"",
            b"\xff",
            b"text",
            b"[]",
            b"{}",
            b'{"pattern":{"topic":"math","cmd":"add"}}',
            b'{"pattern":{"topic":"math","cmd":"add"},"request":1}',
            b'{"pattern":[],"request":{}}',
            b'{"result":1,"error":null,"request":{}}',
            b'{"pattern":{"topic":"math","cmd":"add","x":%b},"request":{}}' % nested(300),
        ],
    )
    def test_what_is_none(self, message: bytes) -> None:
        assert Codec(ADD).unwrap(message) is Unlike.FOREIGN

    @given(
        st.binary() | values.map(written) | st.fixed_dictionaries({"pattern": values, "request": values}).map(written)
    )
    def test_whatever_comes(self, message: bytes) -> None:
        payload = Codec(ADD).unwrap(message)
        assert isinstance(payload, bytes | Unlike)


class TestResult:
    def test_as_hemera_writes_it(self) -> None:
        assert Codec(ADD).result(REPLIED) == b'{"sum":3}'

    @given(values)
    def test_it_is_json(self, value: Any) -> None:
        reply = written({"meta": {}, "trace": {}, "request": {}, "result": value, "error": None})
        assert json.loads(Codec(ADD).result(reply)) == value

    def test_of_an_action_that_returns_nothing(self) -> None:
        assert Codec(ADD).result(b'{"meta":{},"trace":{},"request":{},"error":null}') == b"null"

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ({"name": "Error", "message": "no such account", "stack": "at /secret.js:1"}, "Error: no such account"),
            ({"message": "no such account"}, "no such account"),
            ({"name": "Error", "message": ""}, "Error"),
            ({"name": 5, "message": []}, "an error without words"),
            ({}, "an error without words"),
            ("no such account", "no such account"),
            (5, "an error without words"),
        ],
    )
    def test_errors(self, said: object, words: str) -> None:
        assert error(written({"result": None, "error": said})) == f"the service on 'math' says: {words}"

    def test_an_error_is_bounded(self) -> None:
        assert len(error(written({"error": {"name": "E", "message": "x" * 10_000}}))) < MAX_SAID_CHARS + 50

    @pytest.mark.parametrize("reply", [b"", b"\xff", b"[]", b"{}", b"5", b'{"pattern":{}}'])
    def test_no_reply_of_hemeras(self, reply: bytes) -> None:
        assert error(reply) == "the reply on 'math' is none of hemera's"

    def test_nested_too_deeply(self) -> None:
        assert error(b'{"result":%b}' % nested(300)) == "the reply on 'math' is nested too deeply"

    @given(st.binary() | values.map(written) | st.fixed_dictionaries({"error": values, "result": values}).map(written))
    def test_whatever_comes(self, reply: bytes) -> None:
        with suppress(GatewayError):
            json.loads(Codec(ADD).result(reply))


class TestActionProblem:
    @pytest.mark.parametrize("action", [ADD, Action("a.b.c"), Action("t", (("n", 1), ("$x", True)))])
    def test_good(self, action: Action) -> None:
        assert action_problem(action) is None

    @pytest.mark.parametrize(
        ("action", "field", "words"),
        [
            (Action("math.*"), "topic", "topic 'math.*' has the wildcard '*'"),
            (Action("a b"), "topic", "topic 'a b' has a blank"),
            (Action(""), "topic", "topic '' "),
            (Action("t", (("pubsub$", True),)), "pubsub$", "field 'pubsub$' ends with '$'"),
        ],
    )
    def test_reasons(self, action: Action, field: str, words: str) -> None:
        told = action_problem(action)
        assert told is not None
        assert told[0] == field
        assert told[1].startswith(words)

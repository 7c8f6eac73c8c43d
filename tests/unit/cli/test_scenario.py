from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsgw.cli import scenario
from wsgw.cli.scenario import ScenarioMessage
from wsgw.errors import ConfigError


def write(folder: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_message_of_a_step(tmp_path: Path) -> None:
    write(
        tmp_path,
        a__yml="""
- message: {b: 1, a: [yes, NO, on, 0o17, 010, 1:30, 2026-01-01, 1_000, ~, 1.50, é], "1": true}
- delay: 20
  topic: OTHER
  message: plain text
- {}
- message: null
- message: ''
- delay: 0.5
  message: [{2: x}]
""",
    )
    assert scenario.load(tmp_path / "a.yml", "IN") == [
        ScenarioMessage(
            "IN",
            '{"b":1,"a":["yes","NO","on",15,10,"1:30","2026-01-01","1_000",null,1.5,"é"],"1":true}'.encode(),
        ),
        ScenarioMessage("OTHER", b"plain text", 20),
        ScenarioMessage("IN", b"{}"),
        ScenarioMessage("IN", b"null"),
        ScenarioMessage("IN", b""),
        ScenarioMessage("IN", b'[{"2":"x"}]', 0.5),
    ]


def test_json_with_tabs_and_surrogate_pairs(tmp_path: Path) -> None:
    write(tmp_path, a__json='\ufeff[\n\t{"message":\t"\\ud83d\\ude00"}]')
    assert scenario.load(tmp_path / "a.json", "IN") == [ScenarioMessage("IN", "😀".encode())]


def test_files_are_sent_byte_for_byte_and_yaml_ones_as_json(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    pretty = b'{\n  "a": 1.0\n}\n'
    write(tmp_path / "sub", p__json=pretty, b__bin=b"\xff\x00", y__yml="b: 1\na: no\n")
    write(tmp_path, a__yml="[{file: sub/p.json}, {file: sub/b.bin, delay: 3, topic: X}, {file: sub/y.yml}]")
    assert scenario.load(tmp_path / "a.yml", "IN") == [
        ScenarioMessage("IN", pretty),
        ScenarioMessage("X", b"\xff\x00", 3),
        ScenarioMessage("IN", b'{"b":1,"a":"no"}'),
    ]
    assert scenario.load(tmp_path / "a.yml", "IN", raw=True)[2].payload == b"b: 1\na: no\n"


def test_nested_scenarios_take_the_place_of_their_step(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", inner__yml="[{delay: 5, message: '1'}, {scenario: ../empty.yml}, {file: 2.txt}]")
    (tmp_path / "sub" / "2.txt").write_text("2")
    write(
        tmp_path,
        empty__yml="[]",
        a__yml="[{message: '0'}, {scenario: sub/inner.yml, delay: 10, topic: T}, {scenario: sub/inner.yml}]",
    )
    assert scenario.load(tmp_path / "a.yml", "IN") == [
        ScenarioMessage("IN", b"0"),
        ScenarioMessage("T", b"1", 15),
        ScenarioMessage("T", b"2"),
        ScenarioMessage("IN", b"1", 5),
        ScenarioMessage("IN", b"2"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "a scenario is a list of steps, not nothing"),
        ("message: x", "a scenario is a list of steps, not a mapping"),
        ("just text", "a scenario is a list of steps, not a text"),
        ("7", "a scenario is a list of steps, not a number"),
        ("[}", "line 1, column 2"),
        (b"[\xff]", "not UTF-8 at byte 1"),
        (
            "[1]",
            "item 1 (counted from 1): a step is a mapping with keys of delay, topic, message, file, scenario, not a",
        ),
        ("- {}\n- delay: soon", "item 2 (counted from 1): delay: milliseconds as a number, not a text"),
        ("- delay: true", "delay: milliseconds as a number, not true or false"),
        ("- delay: -1", "delay: -1 is not between 0 and"),
        ("- delay: .nan", "delay: nan is not between 0 and"),
        ("- delay: .inf", "delay: inf is not between 0 and"),
        ("- topic: 5", "topic: a text, not a number"),
        ("- topic: ' '", "the topic is empty"),
        ("- topic: A,B", "'A,B': a producer sends to one topic at a time"),
        ("- file: [a]", "file: a text, not a list"),
        ("- file:", "file: a text, not nothing"),
        ("- scenario: {}", "scenario: a text, not a mapping"),
        ("- {file: a, message: b}", "it has message and file; one of them is possible"),
        ("- file: missing.json", "missing.json: No such file or directory"),
        ("- file: .", "Is a directory"),
        ('- file: "a\\0b"', "null byte"),
        ("- file: broken.json", "broken.json: Expecting"),
        ("- file: broken.yml", "broken.yml: while parsing a flow node"),
        ("- scenario: missing.yml", "missing.yml: No such file or directory"),
        ("- message: .nan", "message: Out of range float values are not JSON compliant"),
        ("- message: &a [*a]", "message: Circular reference detected"),
        ('- message: "\\ud800"', "half of a surrogate pair"),
        ("- {delay: 1, delay: 2}", "the key 'delay' is there twice"),
        ("- message: !!python/name:os.system", "could not determine a constructor"),
        ("- message: " + "[" * 5000, "nested too deeply"),
    ],
)
def test_errors_name_file_item_and_reason(tmp_path: Path, content: str | bytes, reason: str) -> None:
    write(tmp_path, a__yml=content, broken__json='{"a":', broken__yml="[")
    with pytest.raises(ConfigError) as caught:
        scenario.load(tmp_path / "a.yml", "IN")
    assert str(caught.value).startswith(str(tmp_path / "a.yml") + ": ")
    assert reason in str(caught.value)


def test_the_scenario_itself_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yml: No such file"):
        scenario.load(tmp_path / "nothing.yml", "IN")


def test_an_error_in_a_nested_scenario_names_both_items(tmp_path: Path) -> None:
    write(tmp_path, a__yml="[{}, {scenario: b.yml}]", b__yml="[{}, {}, {delay: x}]")
    with pytest.raises(ConfigError, match=r"a\.yml: item 2 .*b\.yml: item 3 .*delay"):
        scenario.load(tmp_path / "a.yml", "IN")


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("{mesage: x}", "'mesage' is no key of a step; did you mean 'message'?"),
        ("{Message: x}", "'Message' is no key of a step; did you mean 'message'?"),
        ("{delay: 5, fiel: x}", "'fiel' is no key of a step; did you mean 'file'?"),
        ("{szenario: x, topic: T}", "'szenario' is no key of a step; did you mean 'scenario'?"),
        ("{payload: x}", "'payload' is no key of a step; it has delay, topic, message, file, scenario"),
        ("{5: x}", "5 is no key of a step; it has delay, topic, message, file, scenario"),
        ("{mesage: x, comment: y}", "'mesage' is no key of a step; did you mean 'message'?"),
        ("{comment: y, mesage: x}", "'mesage' is no key of a step; did you mean 'message'?"),
    ],
)
def test_a_step_that_has_nothing_to_send_but_an_unknown_key(tmp_path: Path, step: str, told: str) -> None:
    write(tmp_path, a__yml=f"- {{}}\n- {step}")
    with pytest.raises(ConfigError) as caught:
        scenario.load(tmp_path / "a.yml", "IN")
    assert str(caught.value) == f"{tmp_path / 'a.yml'}: item 2 (counted from 1): {told}"


def test_a_circle_is_told_with_its_chain(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path, a__yml="[{scenario: sub/b.yml}]", c__yml="[{scenario: a.yml}]")
    write(tmp_path / "sub", b__yml="[{}, {scenario: ../c.yml}]")
    with pytest.raises(ConfigError, match=r"in a circle: \S*a\.yml -> \S*b\.yml -> \S*c\.yml -> \S*a\.yml$"):
        scenario.load(tmp_path / "a.yml", "IN")


def test_unknown_keys_are_told_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, a__yml="[{}, {message: 1, comment: x, mesage: 2}]")
    with caplog.at_level(logging.WARNING):
        assert len(scenario.load(tmp_path / "a.yml", "IN")) == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.yml'}: item 2 (counted from 1): {key!r} is no key of a step, ignored"
        for key in ("comment", "mesage")
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary() | st.text(alphabet="[]{}:,-&*!|>'\"%@`#? \n\tab0.x~").map(str.encode))
def test_any_bytes_are_a_list_or_a_clean_error(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, a__yml=content)
    try:
        assert isinstance(scenario.load(tmp_path / "a.yml", "IN"), list)
    except ConfigError as error:
        assert "a.yml: " in str(error)  # noqa: PT017  it may also be a list


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=JSON, ascii_only=st.booleans())
def test_any_json_value_arrives_as_it_is(tmp_path: Path, value: object, ascii_only: bool) -> None:
    write(tmp_path, a__json=json.dumps([{"message": value}], ensure_ascii=ascii_only))
    (message,) = scenario.load(tmp_path / "a.json", "IN")
    sent = message.payload.decode()
    assert sent == value if isinstance(value, str) else json.loads(sent) == value

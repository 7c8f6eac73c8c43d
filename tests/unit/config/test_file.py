"""The configuration file: what is read, with which lines, and what is said about one that is no use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsgw.config.file import ConfigFile, channels_of, look, read, split_names
from wsgw.errors import ConfigError


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "x.yml"
    path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    return str(path)


def load(folder: Path, text: str | bytes) -> ConfigFile:
    return read(written(folder, text))


def refusal(folder: Path, text: str | bytes) -> str:
    path = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(path)
    return message.removeprefix(path)


def test_values_and_lines(tmp_path: Path) -> None:
    file = load(tmp_path, "listen: h:1\n\nchannels:\n  - {name: A, direction: inbound}\n  - name: B\n    timeout: 2s\n")
    assert file.values == {
        "listen": "h:1",
        "channels": [{"name": "A", "direction": "inbound"}, {"name": "B", "timeout": "2s"}],
    }
    assert file.where(("listen",)) == f"{file.path}:1"
    assert file.where(("channels", 0, "direction")) == f"{file.path}:4"
    assert file.where(("channels", 1)) == f"{file.path}:5"
    assert file.where(("channels", 1, "timeout")) == f"{file.path}:6"
    assert file.where(("channels", 1, "direction")) == f"{file.path}:5"
    assert file.where(("nats", "servers")) == file.path
    assert file.warnings == []


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_an_empty_file_is_an_empty_configuration(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).values == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a\n- b\n", ":1: a configuration is a mapping of keys to values, not a list"),
        ("word\n", ":1: a configuration is a mapping of keys to values, not a str"),
        ("a: [1\n", ":2: not YAML: while parsing a flow sequence expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n3007: b\n", ":2: a key is text, and 3007 is none"),
        ("a: 1\nb: 1\n~: b\n", ":3: a key is text, and None is none"),
        ("a: 1\na: 2\n", ":2: not YAML: the key 'a' is there twice"),
        ("b: 1\na: \x00\n", ": not YAML: unacceptable character #x0000: special characters are not allowed at "),
        (b"a: \xff\n", ": not UTF-8 text: "),
        ("a: 1\n---\nb: 2\n", "not YAML"),
        ("a: &x [*x]\n", "a value contains itself"),
        ("a: !!python/object:os.system x\n", ":1: not YAML: an unknown tag; a text that begins with ! needs quotes"),
        ("a: !!int hidden\n", ":1: not YAML: what is said to be a number is none, or has too many digits"),
        ("a: !!float hidden\n", ":1: not YAML: what is said to be a number is none, or has too many digits"),
        ("{a:hidden, a:hidden}", ":1: not YAML: the key 'a...' is there twice"),
        ("a: !hidden\n", ":1: not YAML: an unknown tag; a text that begins with ! needs quotes"),
        ("a: *hidden\n", ":1: not YAML: an alias of nothing; a text that begins with * needs quotes"),
        (
            "a: &hidden\nb: &hidden\n",
            ":2: not YAML: an anchor that is there twice; a text that begins with & needs quotes",
        ),
        ("[" * 1500, "not YAML: nested too deeply"),
    ],
)
def test_refusals(tmp_path: Path, text: str | bytes, reason: str) -> None:
    told = refusal(tmp_path, text)
    assert reason in told
    assert "hidden" not in told


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yml: No such file"):
        read(str(tmp_path / "nowhere.yml"))
    with pytest.raises(ConfigError, match="directory"):
        read(str(tmp_path))


yamlish = st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%@,? \n\t\0.~01é\ud800"), max_size=40)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(yamlish | st.text(max_size=40) | st.binary(max_size=40))
def test_any_text_is_read_or_refused(tmp_path: Path, text: str | bytes) -> None:
    path = written(tmp_path, text)
    try:
        values: object = read(path).values
    except ConfigError as error:
        values = {} if str(error).startswith(path) else error
    assert isinstance(values, dict)


class TestOriginalFormat:
    def test_translated(self, tmp_path: Path) -> None:
        file = load(
            tmp_path,
            """
webServer:
  port: 3008
  restPath: /rest
wsServer:
  topics:
    inbound: [IN, BOTH]
    outbound: OUT, BOTH
  forwarderTopic: x
nats:
  servers: [nats://h:4222]
  timeout: 5
logger: {level: debug}
""",
        )
        assert file.values == {
            "port": 3008,
            "channels": [
                {"name": "IN", "direction": "inbound"},
                {"name": "BOTH", "direction": "both"},
                {"name": "OUT", "direction": "outbound"},
            ],
            "nats": {"servers": ["nats://h:4222"]},
        }
        assert [warning.removeprefix(file.path).partition(": easer's")[0] for warning in file.warnings] == [
            ":4: webServer.restPath",
            ":9: wsServer.forwarderTopic",
            ":12: nats.timeout",
            ":13: logger",
        ]

    def test_ours_with_an_original_key_is_left_alone(self, tmp_path: Path) -> None:
        file = load(tmp_path, "channels: []\nlogger: {}\n")
        assert file.values == {"channels": [], "logger": {}}

    @pytest.mark.parametrize("value", ["5", "[1]", "~", "{topics: 5}", "{topics: {inbound: {a: b}}}"])
    def test_of_another_shape(self, tmp_path: Path, value: str) -> None:
        for key in ("wsServer", "webServer", "nats"):
            load(tmp_path, f"{key}: {value}\nlogger: x\n")


@pytest.mark.parametrize(
    ("text", "names"),
    [("", []), ("  ", []), ("A", ["A"]), ("IN1, IN2 ,IN3", ["IN1", "IN2", "IN3"]), ("A,,B", ["A", "", "B"])],
)
def test_split_names(text: str, names: list[str]) -> None:
    assert split_names(text) == names


def test_channels_of() -> None:
    assert channels_of(["A", "B"], ["B", "C"]) == [
        {"name": "A", "direction": "inbound"},
        {"name": "B", "direction": "both"},
        {"name": "C", "direction": "outbound"},
    ]
    assert channels_of([], []) == []


def test_a_look(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    assert look(str(path)) is None
    path.write_text("a: 1")
    seen = look(str(path))
    assert seen is not None
    assert seen.size_bytes == 4
    assert look(str(path)) == seen
    read(str(path))
    assert look(str(path)) == seen
    path.write_text("a: 2")
    os.utime(path, ns=(seen.modified_ns, seen.modified_ns))
    assert look(str(path)) != seen
    path.unlink()
    assert look(str(path)) is None


def test_a_look_through_links(tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap; it may be that only the link is another one."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
    (tmp_path / "1" / "x.yml").write_text("a: 1")
    os.link(tmp_path / "1" / "x.yml", tmp_path / "2" / "x.yml")
    path, data, other = tmp_path / "x.yml", tmp_path / "..data", tmp_path / "..data_tmp"
    data.symlink_to("1")
    path.symlink_to("..data/x.yml")
    seen = look(str(path))
    other.symlink_to("2")
    other.rename(data)
    assert look(str(path)) != seen

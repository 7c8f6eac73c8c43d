"""The run over mutants, on a small repository of its own."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

import mutants
from mutants import chosen, main, stale
from mutated import WSGW, House, MutantsError, read_equivalent

MODULE = """
    def larger(a: int, b: int) -> int:
        return a if a > b else b


    def endless() -> None:
        while False:
            pass
"""
TESTS = """
    from small.sizes import endless, larger

    def test_larger():
        assert larger(1, 2) == 2
        endless()
"""
BOUNDARY = "sizes | larger | return a if a > b else b => return a if a >= b else b"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(mutants, "GRACE_SECONDS", 5.0)  # on a machine that does other things too
    package, tests = tmp_path / "small", tmp_path / "tests"
    for folder in (package, tests):
        folder.mkdir()
    (package / "__init__.py").touch()
    (package / "sizes.py").write_text(dedent(MODULE))
    (tests / "test_sizes.py").write_text(dedent(TESTS))
    return House(tmp_path, package, tests, tests / "equivalent.txt", {"sizes": ()})


def test_it_tells_what_no_test_notices(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in house.root.rglob("*.py")}
    house.equivalent.write_text(f"# the list\n\n{BOUNDARY}\n    Equal ones are\n    the same.\n")
    assert main(house, {"N": "0"}) == 1
    assert capsys.readouterr().out == (
        "small/sizes.py:3 larger\n-   return a if a > b else b\n+   return b\n"
        "sizes: 75 % noticed: 3 killed (1 hung), 1 alive, 1 equivalent\n"
        "below 90 %: sizes\n"
    )
    assert {path: path.read_bytes() for path in house.root.rglob("*.py")} == before
    assert not list(house.root.rglob("__pycache__")), "nothing is left"


def test_enough_is_enough(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    with (house.tests / "test_sizes.py").open("a") as file:
        file.write("    assert larger(3, 2) == 3\n")
    house.equivalent.write_text(f"{BOUNDARY}\n    Equal ones are the same.\n")
    assert main(house, {"N": "0", "JOBS": "2"}) == 0
    assert capsys.readouterr().out == "sizes: 100 % noticed: 4 killed (1 hung), 0 alive, 1 equivalent\n"


def test_the_seed_chooses(house: House) -> None:
    def keys(seed: str, count: int = 3) -> list[str]:
        return [mutant.key for mutant in chosen(house, "sizes", seed, count)]

    assert keys("1") == keys("1")
    assert len(set(keys("1"))) == 3
    assert len({tuple(keys(str(seed))) for seed in range(5)}) > 1
    assert set(keys("1")) < set(keys("1", 0))
    assert keys("1", 0) == keys("2", 1000), "all"


def test_an_entry_of_the_list_that_is_no_mutant_any_more(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.equivalent.write_text("sizes | larger | return b => return a\n    A reason.\n")
    assert stale(house, read_equivalent(house.equivalent)) == ["sizes | larger | return b => return a"]
    assert main(house, {}) == 2
    assert "no such mutant: sizes | larger | return b => return a" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "why"), [("a | b | c\n", "no reason"), ("  why\n", "a reason of nothing"), ("a\n  b\na\n  b\n", "twice")]
)
def test_a_list_that_is_none(house: House, text: str, why: str) -> None:
    house.equivalent.write_text(text)
    with pytest.raises(MutantsError, match=why):
        read_equivalent(house.equivalent)


def test_tests_that_fail_anyway_say_nothing(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    (house.tests / "test_sizes.py").write_text("def test_false():\n    assert False\n")
    assert main(house, {}) == 2
    err = capsys.readouterr().err
    assert "the tests fail on the original" in err
    assert "test_false" in err


def test_names_that_are_none(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(house, {"MODULES": "colours.*"}) == 2
    assert "MODULES=colours.*: none of sizes" in capsys.readouterr().err
    (house.tests / "test_sizes.py").unlink()
    assert main(house, {}) == 2
    assert "sizes: no test" in capsys.readouterr().err


def test_the_repositorys_own_table_and_list() -> None:
    for module in WSGW.modules:
        assert WSGW.path_of(module).exists(), module
        assert WSGW.tests_of(module)
    assert stale(WSGW, read_equivalent(WSGW.equivalent)) == []

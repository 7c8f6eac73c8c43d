"""The ways to break a module: each place once, told by what was there and what is."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from mutations import broken, mutants

MODULE = '''
    """A module."""

    from __future__ import annotations

    LIMIT = 5
    END = b"\\r\\n"


    class Table:
        __slots__ = ("rows",)

        def __init__(self, rows: int = 3) -> None:
            self.rows = rows

        def full(self, more: list[int]) -> bool:
            """Whether it is."""
            log.debug("asked %d", 1)
            if not more and self.rows >= LIMIT:
                return True
            for each in more:
                self.rows += each
                self.told = max(each, 2)
            return False


    def check(text: str) -> str:
        if text == "x":
            raise ValueError("no x")
        return f"{text} 1"
'''


def places(source: str) -> list[tuple[str, str, str]]:
    return [(each.where, each.before, each.after) for each in mutants("m", dedent(source))]


def test_each_place_of_a_module() -> None:
    condition = "if not more and self.rows >= LIMIT"
    of_full = [
        (condition, "if True"),
        (condition, "if False"),
        (condition, "if not more or self.rows >= LIMIT"),
        (condition, "if self.rows >= LIMIT"),
        (condition, "if not more"),
        (condition, "if more and self.rows >= LIMIT"),
        (condition, "if not more and self.rows > LIMIT"),
        ("return True", "return False"),
        ("for each in more", "for each in ()"),
        ("self.rows += each", "pass"),
        ("self.rows += each", "self.rows -= each"),
        ("self.told = max(each, 2)", "pass"),
        ("self.told = max(each, 2)", "self.told = min(each, 2)"),
        ("self.told = max(each, 2)", "self.told = max(each, 3)"),
        ("return False", "return True"),
    ]
    assert places(MODULE) == [
        ("", "END = b'\\r\\n'", "END = b''"),
        ("Table.__init__", "def __init__(self, rows: int=3) -> None", "def __init__(self, rows: int=4) -> None"),
        *(("Table.full", before, after) for before, after in of_full),
        ("check", "if text == 'x'", "if True"),
        ("check", "if text == 'x'", "if False"),
        ("check", "if text == 'x'", "if text != 'x'"),
        ("check", "if text == 'x'", "if text == ''"),
        ("check", "raise ValueError('no x')", "pass"),
        ("check", "return f'{text} 1'", "return None"),
    ]


def test_only_that_place_is_broken() -> None:
    """In the source of each, the original's text is missing once, and the rest is there."""
    original = ast.unparse(ast.parse(dedent(MODULE))).splitlines()
    for mutant in mutants("m", dedent(MODULE)):
        lines = broken(mutant, dedent(MODULE)).splitlines()
        assert len(lines) == len(original)
        (changed,) = [(old, new) for old, new in zip(original, lines, strict=True) if old != new]
        assert (changed[0].strip().rstrip(":"), changed[1].strip().rstrip(":")) == (mutant.before, mutant.after)


def test_what_is_no_mutant_is_not_made() -> None:
    (mutant, *_) = mutants("m", "def f():\n    a.b()\n")
    with pytest.raises(KeyError, match="pass"):
        broken(mutant, "def f():\n    a.c()\n")


def test_it_says_where() -> None:
    numbers = {each.before: each.line for each in mutants("m", dedent(MODULE))}
    lines = dedent(MODULE).splitlines()
    assert (
        numbers.pop("if not more and self.rows >= LIMIT")
        == lines.index("        if not more and self.rows >= LIMIT:") + 1
    )
    assert lines[numbers["raise ValueError('no x')"] - 1].strip() == 'raise ValueError("no x")'


def test_equal_ones_are_told_apart() -> None:
    source = "def f(a):\n    if a:\n        a.g()\n    a.g()\n"
    keys = [each.key for each in mutants("m", source)]
    assert keys == [
        "m | f | if a => if True",
        "m | f | if a => if False",
        "m | f | a.g() => pass",
        "m | f | a.g() => pass #2",
    ]


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("while a < b: pass", {"while False", "while a <= b"}),
        ("return a if b else c", {"return None", "return a", "return c"}),
        ("x = [a for a in b if a]", {"x = [a for a in b if True]"}),
        ("x = a + b", {"x = a - b"}),
        ("x = '%s' % a", {"x = '' % a"}),
        ("x = a is None", {"x = a is not None"}),
        ("x = a.popleft()", {"x = a.pop()"}),
        ("x = lambda: a or b", {"x = lambda: a and b", "x = lambda: a", "x = lambda: b"}),
        ("del a[0]", {"pass", "del a[1]"}),
        ("a, b.c = d", {"pass"}),
        ("log.error('text %s', a + b)", {"pass", "log.error('text %s', a - b)"}),
        ("raise GatewayError(KIND, 'text')", {"pass"}),
        ("x = a", set()),
        ("x: int = a", set()),
    ],
)
def test_what_becomes_of_a_line(line: str, after: set[str]) -> None:
    assert {new for _, _, new in places(f"def f(a, b, c):\n    {line}\n")} == after


def test_cases_of_a_match() -> None:
    source = "def f(a):\n    match a:\n        case [b'x', b] if b:\n            return b\n"
    assert places(source) == [
        ("f", "case [b'x', b] if b", "case [b'x', b] if True"),
        ("f", "case [b'x', b] if b", "case [b'x', b] if False"),
        ("f", "case [b'x', b] if b", "case [b'', b] if b"),
        ("f", "return b", "return None"),
    ]


@pytest.mark.parametrize("base", ["Protocol", "Enum"])
def test_what_has_no_behaviour_is_left_alone(base: str) -> None:
    assert places(f"class A({base}):\n    X = True\n    def f(self, a=1): ...\n") == []

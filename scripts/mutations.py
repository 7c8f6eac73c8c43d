"""Ways to break a module: one place of its syntax tree at a time, each told by the statement before and after.

Left alone is what only tells (debug lines, texts of errors), what is a decision and no behaviour (numbers outside
functions), and what nothing could do without (plain assignments to names and in ``__init__``, annotations, imports).
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

#: What each operator becomes.
_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitXor,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "popleft": "pop"}
_BODIES = ("body", "handlers", "orelse", "finalbody", "cases")
_UNTOUCHED_FIELDS = frozenset({"annotation", "returns", "decorator_list", "bases", "type_params"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Mutant:
    """A module broken in one place: in function ``where``, ``before`` becomes ``after``."""

    module: str
    where: str
    line: int
    before: str
    after: str
    number: int = 1  # of those that read the same

    @property
    def key(self) -> str:
        """How the list of equivalent ones names it; no change elsewhere in the module changes it."""
        number = f" #{self.number}" if self.number > 1 else ""
        return f"{self.module} | {self.where} | {self.before} => {self.after}{number}"


@dataclass
class _Place:
    """Where a node hangs in the tree."""

    owner: ast.AST
    field: str
    index: int | None

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.owner, self.field, node)
        else:
            getattr(self.owner, self.field)[self.index] = node


def mutants(module: str, source: str) -> list[Mutant]:
    """All mutants of ``source``, in its order."""
    return list(_Walk(module, source).all())


def broken(mutant: Mutant, source: str) -> str:
    """The whole of ``mutant``; raises KeyError when it is none of ``source``."""
    walk = _Walk(mutant.module, source)
    for each in walk.all():
        if each == mutant:
            return walk.as_it_is()
    raise KeyError(mutant.key)


class _Walk:
    def __init__(self, module: str, source: str) -> None:
        self._module = module
        self._tree = ast.parse(source)
        self._names: list[str] = []  # the classes and functions we are in
        self._depth = 0  # of functions
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def all(self) -> Iterator[Mutant]:
        """Each, while the tree is broken so."""
        yield from self._block(self._tree, "body")

    def as_it_is(self) -> str:
        """The source of the tree."""
        return ast.unparse(self._tree) + "\n"

    def _block(self, owner: ast.AST, field: str) -> Iterator[Mutant]:
        for index, node in enumerate(getattr(owner, field, ())):
            yield from self._statement(node, _Place(owner, field, index))

    def _statement(self, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        if not _is_worth_it(node):
            return
        named = isinstance(node, (*_FUNCTIONS, ast.ClassDef))
        if named:
            self._names.append(node.name)  # type: ignore[attr-defined]
            self._depth += isinstance(node, _FUNCTIONS)
        done: set[str] = set()
        if self._depth and _is_removable(node, self._names[-1]):
            yield from self._broken(node, place, place, ast.Pass(), done)
        for inner, changed in self._in_head(node):
            yield from self._broken(node, place, inner, changed, done)
        for field in _BODIES:
            if isinstance(getattr(node, field, None), list):  # a lambda's body is none
                yield from self._block(node, field)
        if named:
            self._depth -= isinstance(node, _FUNCTIONS)
            self._names.pop()

    def _broken(
        self, statement: ast.AST, place: _Place, inner: _Place, changed: ast.AST, done: set[str]
    ) -> Iterator[Mutant]:
        before = _head(statement)
        old = _get(inner)
        inner.put(changed)
        after = "pass" if isinstance(changed, ast.Pass) else _head(statement)
        if after != before and after not in done:
            done.add(after)
            where = ".".join(self._names)
            self._seen[where, before, after] += 1
            line = getattr(statement, "lineno", getattr(getattr(statement, "pattern", None), "lineno", 0))
            yield Mutant(self._module, where, line, before, after, self._seen[where, before, after])
        inner.put(old)

    def _in_head(self, node: ast.AST) -> Iterator[tuple[_Place, ast.AST]]:
        """What may change of a statement, without the statements in it."""
        if isinstance(node, (ast.For, ast.AsyncFor)) and self._depth:
            yield _Place(node, "iter", None), ast.Tuple([], ast.Load())
        if isinstance(node, ast.AugAssign):
            yield from _swapped(node, "op", _COMPUTED)
        if isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
            yield _Place(node, "value", None), ast.Constant(None)
        if isinstance(node, (ast.If, ast.While)) or (isinstance(node, ast.match_case) and node.guard is not None):
            field = "guard" if isinstance(node, ast.match_case) else "test"
            for value in (True, False):
                if value is False or not isinstance(node, ast.While):  # that would only hang
                    yield _Place(node, field, None), ast.Constant(value)
        yield from self._inside(node, texts=not isinstance(node, ast.Raise))

    def _inside(self, node: ast.AST, *, texts: bool) -> Iterator[tuple[_Place, ast.AST]]:
        for field, value in ast.iter_fields(node):
            if field in _UNTOUCHED_FIELDS or (field in _BODIES and isinstance(value, list)):
                continue
            items = value if isinstance(value, list) else [value]
            for index, item in enumerate(items):
                if isinstance(item, ast.AST) and not isinstance(item, (ast.JoinedStr, ast.stmt, ast.match_case)):
                    place = _Place(node, field, index if isinstance(value, list) else None)
                    yield from self._expression(item, place, texts=texts)
                    yield from self._inside(item, texts=texts and not _is_telling(item))

    def _expression(self, node: ast.AST, place: _Place, *, texts: bool) -> Iterator[tuple[_Place, ast.AST]]:
        match node:
            case ast.Compare():
                for index, operator in enumerate(node.ops):
                    if type(operator) in _COMPARED:
                        yield _Place(node, "ops", index), _COMPARED[type(operator)]()
            case ast.BoolOp():
                other = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
                yield _Place(node, "op", None), other
                for index in range(len(node.values)):
                    left = [value for number, value in enumerate(node.values) if number != index]
                    yield place, left[0] if len(left) == 1 else ast.BoolOp(node.op, left)
            case ast.UnaryOp(ast.Not() | ast.USub(), operand):
                yield place, operand
            case ast.BinOp(ast.Constant(value=str() | bytes()), ast.Mod(), _):
                pass  # it writes text
            case ast.BinOp():
                yield from _swapped(node, "op", _COMPUTED)
            case ast.IfExp():
                yield place, node.body
                yield place, node.orelse
            case ast.comprehension():
                for index in range(len(node.ifs)):
                    yield _Place(node, "ifs", index), ast.Constant(True)
            case ast.Call(ast.Name(name) | ast.Attribute(_, name)) if name in _NAMES:
                called = copy.copy(node.func)
                setattr(called, "id" if isinstance(called, ast.Name) else "attr", _NAMES[name])
                yield _Place(node, "func", None), called
            case ast.Constant(bool(value)):
                yield place, ast.Constant(not value)
            case ast.Constant(int(value) | float(value)) if self._depth:
                yield place, ast.Constant(value + 1)
            case ast.Constant(bytes(value)) if value:
                yield place, ast.Constant(b"")
            case ast.Constant(str(text)) if text and texts and self._depth:
                yield place, ast.Constant("")


def _swapped(
    node: ast.AST, field: str, table: dict[type[ast.operator], type[ast.operator]]
) -> Iterator[tuple[_Place, ast.AST]]:
    operator = getattr(node, field)
    if type(operator) in table:
        yield _Place(node, field, None), table[type(operator)]()


def _get(place: _Place) -> ast.AST:
    value = getattr(place.owner, place.field)
    found: ast.AST = value if place.index is None else value[place.index]
    return found


def _head(node: ast.AST) -> str:
    """The statement's text, without the statements in it."""
    shown = copy.copy(node)
    if isinstance(node, ast.ClassDef) or not isinstance(node, (ast.stmt, ast.match_case)):
        return type(node).__name__
    inner = [field for field in _BODIES if isinstance(getattr(node, field, None), list)]
    for field in inner:
        setattr(shown, field, [])
    if not inner:
        return ast.unparse(shown)
    if isinstance(shown, _FUNCTIONS):
        shown.decorator_list = []
    return ast.unparse(shown).strip().removesuffix(":")


def _is_worth_it(node: ast.AST) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(ast.Constant()) | ast.AnnAssign(value=None):
            return False
        case ast.ClassDef(bases=bases):
            return not any(isinstance(base, ast.Name) and base.id in ("Protocol", "Enum", "StrEnum") for base in bases)
        case ast.Assign([ast.Name("__slots__" | "__all__" | "log")]):
            return False
        case ast.Expr(ast.Call(ast.Attribute(_, "debug"))):
            return False
    return True


def _is_removable(node: ast.AST, function: str) -> bool:
    match node:
        case ast.Expr() | ast.AugAssign() | ast.Delete() | ast.Raise() | ast.Continue() | ast.Break():
            return True
        case ast.Return(value=None):
            return True
        case ast.Assign(targets):
            names = [name for target in targets for name in getattr(target, "elts", [target])]
            return function != "__init__" and not all(isinstance(name, ast.Name) for name in names)
    return False


def _is_telling(node: ast.AST) -> bool:
    """A call that only tells somebody (types, too), or makes an error: its texts are nobody's behaviour."""
    if not isinstance(node, ast.Call):
        return False
    match node.func:
        case ast.Attribute(ast.Name("log"), _):
            return True
        case ast.Name(name):
            return name == "cast" or name.endswith("Error")
    return False

"""The changes that can be made to a module, one expression or statement each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple, Optional

COMPARED = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.In: "not in", ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is",
}  # fmt: skip
COMBINED = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "//",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.BitOr: "&",
    ast.BitAnd: "|",
}
# Arguments whose values are words for a person.
WORDS = ("remedy", "effect", "refused_effect", "why", "what")


class Mutant(NamedTuple):
    """A change of a module's source.

    Args:
        line: Where it is, from 1.
        start, end: The offsets of what is replaced.
        text: What replaces it.
        name: The function and the lines before and after, which stay when the module's lines move.
    """

    line: int
    start: int
    end: int
    text: str
    name: str

    def applied_to(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]


def mutants_of(source: str) -> list[Mutant]:
    """All mutants, in the order of the source."""
    found = {(mutant.start, mutant.end, mutant.text): mutant for mutant in _Finder(source).mutants()}
    return [mutant for _, mutant in sorted(found.items())]


class _Finder:
    def __init__(self, source: str) -> None:
        self._source = source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def mutants(self) -> Iterator[Mutant]:
        yield from self._below(ast.parse(self._source), "")

    def _below(self, node: ast.AST, function: str) -> Iterator[Mutant]:
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.JoinedStr)) or _is_message(node):
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            function = f"{function}.{node.name}".lstrip(".")
        for old, new in self._changes(node):
            yield self._mutant(old, new, function)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "bases"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not _is_docstring(child):
                    yield from self._below(child, function)

    def _mutant(self, old: tuple[int, int], new: str, function: str) -> Mutant:
        start, end = old
        line = self._source.count("\n", 0, start)
        from_line, to_line = self._starts[line], self._source.find("\n", start)
        if end <= to_line:
            before, after = (
                self._source[from_line:to_line],
                self._source[from_line:start] + new + self._source[end:to_line],
            )
        else:
            before, after = self._source[start:end], new or "nothing"
        name = f"{function}: {' '.join(before.split())} -> {' '.join(after.split())}"
        return Mutant(line + 1, start, end, new, name)

    def _changes(self, node: ast.AST) -> Iterator[tuple[tuple[int, int], str]]:
        """What is replaced, and by what."""
        if isinstance(node, ast.Compare):
            for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators):
                yield self._between(left, right), f" {COMPARED[type(operator)]} "
        elif isinstance(node, ast.BoolOp):
            word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            for left, right in zip(node.values, node.values[1:]):
                at = self._source.find(word, self._between(left, right)[0])
                yield (at, at + len(word)), other
        elif isinstance(node, ast.BinOp) and type(node.op) in COMBINED:
            yield self._between(node.left, node.right), f" {COMBINED[type(node.op)]} "
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield self._span(node), self._text(node.operand)
        elif isinstance(node, ast.Constant):
            yield from ((self._span(node), text) for text in _other_constants(node))
        elif isinstance(node, ast.Call):
            yield from self._shorter(node)
        yield from self._changed_statements(node)

    def _changed_statements(self, node: ast.AST) -> Iterator[tuple[tuple[int, int], str]]:
        test = getattr(node, "test", None)
        if isinstance(node, (ast.If, ast.IfExp, ast.While)) and not isinstance(test, (ast.Compare, ast.UnaryOp)):
            yield self._span(node.test), f"not ({self._text(node.test)})"
        elif isinstance(node, ast.comprehension):
            for condition in node.ifs:
                yield self._span(condition), "True"
        elif isinstance(node, (ast.Expr, ast.AugAssign, ast.Delete, ast.Continue, ast.Break)):
            yield self._span(node), "pass"
        elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
            yield self._span(node), "return None"

    def _shorter(self, call: ast.Call) -> Iterator[tuple[tuple[int, int], str]]:
        """The call without each of its named arguments: a default takes their place, or it fails."""
        parts: list[ast.AST] = sorted([*call.args, *call.keywords], key=lambda part: self._span(part))
        for at, part in enumerate(parts):
            if isinstance(part, ast.keyword) and at and part.arg not in (None, *WORDS):
                yield (self._span(parts[at - 1])[1], self._span(part)[1]), ""

    def _between(self, left: ast.AST, right: ast.AST) -> tuple[int, int]:
        """Where the operator is, without the brackets around its sides."""
        start, end = self._span(left)[1], self._span(right)[0]
        text = self._source[start:end]
        closing = text.rfind(")") + 1
        opening = text.find("(", closing)
        return start + closing, (start + opening if opening >= 0 else end)

    def _span(self, node: ast.AST) -> tuple[int, int]:
        """The offsets of its first character and of the one behind its last."""
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _offset(self, line: int, column_bytes: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column_bytes].decode())

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self._source[start:end]


def _other_constants(node: ast.Constant) -> Iterator[str]:
    value = node.value
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, int):
        yield str(value + 1)
    elif isinstance(value, float):
        yield str(value * 1.5 + 0.001)
    elif isinstance(value, str):
        yield repr(f"{value}x")


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_message(node: ast.AST) -> bool:
    """Words for a person, whatever they are: a string with a blank in it."""
    value: Optional[object] = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
    return isinstance(value, str) and " " in value

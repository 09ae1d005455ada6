"""What users read is written in the usual words: the left column of the project's table of words stays out of it.

Read are the string literals of the product (no docstrings but those of the scripts), the comments of config.py,
the documents at the top, docs/, samples/ and the page of status.py --html. Where a word is the right one after all,
MEANT_SO says so. Pages that programs write are read where their texts stand, in benchmarks/ and prove/.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from suite import ROOT

# Written by programs when these are run: read are the programs.
GENERATED = {"docs/benchmarks.md", "docs/reliability.md"}
# What not to write, what to write instead, and the pattern that finds it.
WORDS = {
    "mend": ("fix", r"\bmend(?:s|ed|ing)?\b"),
    "told, tells": ("reported, reports, is notified", r"\b(?:told|tells?|telling)\b"),
    "gives how many": ("returns", r"\bgives (?:how many|the number)\b"),
    "so many, so much": ("that many; the number of", r"\bso (?:many|much)\b(?! that)"),
    "room": ("module, package; space", r"\brooms?\b"),
    "house": ("package", r"\bhouses?\b"),
    "getting on": ("is stalled; progress", r"\bg(?:ets?|etting) on\b(?! with)"),
    "came back, to be sent again": ("will be retried", r"\bc(?:ame|omes?) back\b|\bto be sent again\b"),
    "resting, pausing": ("backing off", r"\b(?:resting|pausing)\b"),
    "left out": ("skipped, not sent", r"\bleft[ _-]out\b|\bleaves? out\b|\bleaving out\b"),
    "a look, a glance, a sight": (
        "read, check, list",
        r"\b(?:an?|the|one|each|second|first|another|no) looks?\b(?!-)|\bglances?\b|\bsights?\b|\ba see\b",
    ),
    "vouched": ("assumed", r"\bvouch(?:e[ds])?\b"),
    "settle a task, a route": (
        "reconcile; serve",
        r"\bsettl(?:es?|ed|ing) (?:\w+ )?(?:tasks?|routes?)\b|\btasks? (?:is|are|was|were) settled\b",
    ),
    "also not": ("nor; not ... either", r"\balso not\b"),
    "it only takes time": ("it is only slower", r"\bit only takes time\b"),
    "So, at the head of a sentence": ("therefore; which is why", r"(?:\A|[.!?] )(?-i:So [a-z])"),
}
# File, and a pattern for the passage in which the word is the right one.
MEANT_SO: tuple[tuple[str, str], ...] = (("CHANGELOG.md", r"`(?:pausing|resting|left_out)`"),)  # former names


def python_texts(path: Path) -> Iterator[str]:
    """The string literals of a module; its own docstring too if it is a script, which shows it as help."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and not (isinstance(node, ast.Module) and path.parent == ROOT)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def comments(path: Path) -> Iterator[str]:
    """The comments of a module."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("# ")


def texts() -> Iterator[tuple[str, str]]:
    """All that users read: the file, and the text with its lines joined."""
    modules = [
        path
        for top in ("", "autotransfer", "benchmarks", "prove")
        for path in (ROOT / top).glob("**/*.py" if top else "*.py")
    ]
    pages = [
        *ROOT.glob("*.md"),
        *(path for path in (ROOT / "docs").glob("*.md") if f"docs/{path.name}" not in GENERATED),
        *(ROOT / "autotransfer").rglob("page.html"),
        *(ROOT / "autotransfer").rglob("page.js"),
    ]
    pages += [path for path in (ROOT / "samples").iterdir() if path.is_file()]
    found = [(path, text) for path in modules for text in python_texts(path)]
    found += [(ROOT / "config.py", text) for text in comments(ROOT / "config.py")]
    found += [(path, path.read_text(encoding="utf-8")) for path in pages]
    for path, text in found:
        yield str(path.relative_to(ROOT)), " ".join(text.split())


def uses(file: str, text: str) -> Iterator[tuple[str, str]]:
    """The words of the table that are in a text, each with the passage."""
    meant_so = [match.span() for name, pattern in MEANT_SO if name == file for match in re.finditer(pattern, text)]
    for word, (_, pattern) in WORDS.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            if not any(start <= match.start() and match.end() <= end for start, end in meant_so):
                yield word, text[max(0, match.start() - 40) : match.end() + 40]


def test_what_users_read_is_in_the_usual_words() -> None:
    found = [(file, word, passage) for file, text in texts() for word, passage in uses(file, text)]

    wrong = [f"{file}: not {word!r} but {WORDS[word][0]!r}: ... {passage} ..." for file, word, passage in found]
    assert not wrong, "\n".join(wrong)


def test_what_is_read_is_what_users_read() -> None:
    read = {file for file, _ in texts()}

    assert {"README.md", "config.py", "main.py", "docs/status.md", "samples/crontab"} <= read
    assert {"page.html", "page.js"} <= {Path(file).name for file in read}
    assert any(text.startswith("Required") or "collection" in text for file, text in texts() if file == "config.py")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("The run tells nobody.", "told, tells"),
        ("12 paths were left out", "left out"),
        ("Mend it", "mend"),
        ("gives how many", "gives how many"),
        ("Take a second look", "a look, a glance, a sight"),
        ("It failed. So nothing was sent.", "So, at the head of a sentence"),
        ("when it settles the task", "settle a task, a route"),
    ],
)
def test_each_use_is_found(text: str, word: str) -> None:
    assert [found for found, _ in uses("README.md", text)] == [word]


@pytest.mark.parametrize(
    "text", ["a settled file", "so many that it fails", "See main.py --help.", "look at it", "it returns", "so that"]
)
def test_what_is_idiomatic_is_left_alone(text: str) -> None:
    assert list(uses("README.md", text)) == []

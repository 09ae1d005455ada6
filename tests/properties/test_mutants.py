"""The program that changes modules at random (prove/mutants): its changes are small, whole, and named."""

from __future__ import annotations

import ast

import pytest
from suite import ROOT

from prove.mutants import TESTS, equivalent_mutants
from prove.mutants.changes import mutants_of

SOURCE = '''\
"""A docstring."""

LIMIT = 5


def chosen(names: list[str], *, most: int = 3):
    """Another."""
    if not names or len(names) >= LIMIT:
        raise ValueError("words for a person")
    return [name for name in names if name in ("a", "b")][: most - 1]
'''


def test_every_kind_of_change_is_made_and_nothing_else() -> None:
    changed = {mutant.name.partition(" -> ")[2] for mutant in mutants_of(SOURCE)}

    assert changed == {
        "LIMIT = 6",
        "def chosen(names: list[str], *, most: int = 4):",
        "if not names and len(names) >= LIMIT:",
        "if names or len(names) >= LIMIT:",
        "if not names or len(names) > LIMIT:",
        "if not (not names or len(names) >= LIMIT):",
        "return None",
        'return [name for name in names if name not in ("a", "b")][: most - 1]',
        "return [name for name in names if True][: most - 1]",
        "return [name for name in names if name in ('ax', \"b\")][: most - 1]",
        "return [name for name in names if name in (\"a\", 'bx')][: most - 1]",
        'return [name for name in names if name in ("a", "b")][: most + 1]',
        'return [name for name in names if name in ("a", "b")][: most - 2]',
    }


@pytest.mark.parametrize("module", TESTS)
def test_the_modules_and_their_tests_exist_and_every_change_compiles_and_differs(module: str) -> None:
    source = (ROOT / module).read_text()
    mutants = mutants_of(source)

    assert all((ROOT / test).is_file() for test in TESTS[module])
    assert len(mutants) > 50
    for mutant in mutants[::10]:
        assert ast.dump(ast.parse(mutant.applied_to(source))) != ast.dump(ast.parse(source))


def test_what_is_called_equivalent_can_still_be_made() -> None:
    made = {(module, mutant.name) for module in TESTS for mutant in mutants_of((ROOT / module).read_text())}

    judged = equivalent_mutants()
    assert judged
    assert judged - made == set()

"""Every command that the manual shows is run, in the order of the page, and does what the page says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from manual import DST_ID, SRC_ID, Command, Outcome, Reader, agrees, blocks
from suite import ROOT

from emulator.http.server import Emulator
from emulator.world import Collection

PAGES = [path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))) if blocks(path.read_text("utf-8"))]
TUTORIAL = ROOT / "docs/tutorial.md"
# Between two blocks all that was asked for arrives, as it would by cron.
MEANWHILE = Command("python main.py --wait > /dev/null", None, None)


@pytest.fixture
def examples(tmp_path: Path) -> Iterator[Reader]:
    """The machine of the manual's examples, with Globus."""
    ends = [
        Collection(id=SRC_ID, root=Path("/"), name="Beamline"),
        Collection(id=DST_ID, root=Path("/"), name="Archive"),
    ]
    with Emulator(ends) as globus:
        reader = Reader(tmp_path, globus)
        reader.fill_in()
        yield reader


@pytest.mark.parametrize("page", [page for page in PAGES if page != TUTORIAL], ids=lambda page: str(page.name))
def test_every_command_of_a_page_ends_as_the_page_says(page: Path, examples: Reader) -> None:
    shown = [block for block in blocks(page.read_text("utf-8")) if not block.why_not]
    commands = [command for block in shown for command in (MEANWHILE, *block.commands)]

    outcomes = examples.type(commands)

    assert wrong(commands, outcomes) == []


def test_the_tutorial_shows_what_its_commands_print(tmp_path: Path) -> None:
    reader = Reader(tmp_path, None)
    shown = [block for block in blocks(TUTORIAL.read_text("utf-8")) if not block.why_not]
    commands = [command for block in shown for command in block.commands]

    outcomes = reader.type(commands, signs_in=True)

    assert len(commands) > 20
    assert wrong(commands, outcomes) == []


def wrong(commands: list[Command], outcomes: list[Outcome]) -> list[str]:
    """The commands that did something else than the page says, each with what it said."""
    return [
        f"{command.line}\nended with {outcome.status} and said:\n{outcome.said}"
        for command, outcome in zip(commands, outcomes)
        if (command.status is not None and outcome.status != command.status)
        or (command.shown is not None and not agrees(command.shown, outcome.said))
    ]


def test_a_command_that_does_otherwise_is_found(examples: Reader) -> None:
    (block,) = blocks("```console\n$ python main.py -q\nnothing ... is said\n$ echo a b c\na ... c\n```\n")
    (typed,) = blocks(
        "```sh\npython status.py --path /data/run7\npython main.py --no-such   # it ends with 2\nfalse\n```\n"
    )
    commands = [*block.commands, *typed.commands]

    found = wrong(commands, examples.type(commands))

    assert [each.splitlines()[0] for each in found] == [
        "python main.py -q",
        "python status.py --path /data/run7",
        "false",
    ]

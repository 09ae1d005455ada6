"""The commands of the manual, run as a reader would type them, in a folder that stands for the reader's machine.

`/opt/transfer` there is a copy of this checkout, `/data/run7` its source. A block of commands is run unless a comment
`<!-- not run here: REASON -->` stands above it. A command ends with 0, unless the remark behind it says what it ends
with. A ```console block also shows what is printed; `...` in it stands for anything.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from suite import CLIENT_ID, LONG_AGO, ROOT, SECRET

from emulator.http.server import Emulator

# The collections of the manual's own examples.
SRC_ID = "11111111-1111-4111-8111-111111111111"
DST_ID = "22222222-2222-4222-8222-222222222222"
BLOCK = re.compile(
    r"(?:<!-- not run here: (?P<reason>[^\n]+) -->\s+?)?^ *```(?P<kind>sh|console)\n(?P<text>.*?)^ *```", re.M | re.S
)
# What the manual calls by these paths lies in the reader's folder.
PLACES = re.compile(r"(?<![\w/.])/(?=(?:opt/transfer|data|archive|etc/transfer|tmp/rehearsal|var/(?:lib|backups))\b)")
ENDS = re.compile(r"#.*\bends with (\d+)")
LONGEST_PAGE_SECONDS = 240
PREPARE = """\
exec 2>&1
trap 'kill $(jobs -p) 2>/dev/null' EXIT
job_id() { python timer.py job list --json | python -c 'import json, sys; print(json.load(sys.stdin)[0]["job_id"])'; }
"""
# It leaves the status as it was, for those who look at it.
MARK = 'ended=$?; printf "%s\\n"; (exit $ended)'
TREE = ("a.h5", "b.h5", "scan3/frame1.tif", "scan3/frame2.tif", "scan42/frame1.tif", "notes/beam time.txt")


class Command(NamedTuple):
    """One command of a page.

    Args:
        line: As it stands there, with the lines that continue it.
        shown: What the page says that it prints; None when the page does not show it.
        status: What it says that it ends with; None when only the output counts.
    """

    line: str
    shown: str | None
    status: int | None


class Block(NamedTuple):
    """A block of commands, or why it cannot be run."""

    commands: tuple[Command, ...]
    why_not: str


class Outcome(NamedTuple):
    """What a command printed, and what it ended with."""

    said: str
    status: int


def blocks(text: str) -> list[Block]:
    """The blocks of commands of a page."""
    found = []
    for match in BLOCK.finditer(text):
        lines = re.sub(r"^ {1,3}(?=\S)", "", match["text"], flags=re.M) if match["kind"] == "sh" else match["text"]
        commands = _typed(lines) if match["kind"] == "sh" else _shown(lines)
        found.append(Block(tuple(commands), match["reason"] or ""))
    return found


def _typed(text: str) -> list[Command]:
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    return [Command(line, None, int(found[1]) if (found := ENDS.search(line)) else 0) for line in lines]


def _shown(text: str) -> list[Command]:
    commands = []
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        lines = part.splitlines()
        count = next((n for n, line in enumerate(lines[1:], 1) if not line.startswith("> ")), len(lines))
        typed = [lines[0], *(line[2:] for line in lines[1:count])]
        commands.append(Command("\n".join(typed), "\n".join(lines[count:]), None))
    return commands


def agrees(shown: str, said: str) -> bool:
    """Whether what was printed is what a page shows; trailing blanks do not count."""
    pattern = ".*".join(re.escape(part) for part in _tidy(shown).split("..."))
    return re.fullmatch(pattern, _tidy(said), re.S) is not None


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


class Reader:
    """Someone who types what a page says.

    Args:
        folder: Stands for the root of their machine.
        globus: With the collections of the examples; None when the page starts an emulator itself.
    """

    def __init__(self, folder: Path, globus: Emulator | None) -> None:
        self.folder = folder
        self.home = folder / "opt/transfer"
        self._globus = globus
        self.home.mkdir(parents=True)
        skipped = shutil.ignore_patterns("__pycache__")
        for name in ("autotransfer", "emulator", "samples"):
            shutil.copytree(ROOT / name, self.home / name, ignore=skipped)
        for path in (*ROOT.glob("*.py"), ROOT / "pyproject.toml"):
            if path.name != "config_local.py":  # an owner's
                shutil.copy(path, self.home)
        (self.home / ".venv").symlink_to(sys.prefix)

    def fill_in(self) -> None:
        """Give the machine data, and the configuration its values, with a service account."""
        for name in TREE:
            path = self.folder / "data/run7" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            os.utime(path, (LONG_AGO, LONG_AGO))
        secret = self.folder / "secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        values = {
            "SRC_DIR": f"{self.folder}/data/run7",
            "DST_DIR": f"{self.folder}/archive/run7",
            "SRC_ID": SRC_ID,
            "DST_ID": DST_ID,
            "CLIENT_ID": CLIENT_ID,
            "CODE_PATH": str(self.home),
            "CLIENT_SECRET_FILE": str(secret),
            "SETTLE_SECONDS": 0,
        }
        text = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        (self.home / "config_local.py").write_text(text, encoding="utf-8")
        (self.home / "changed.txt").write_text(f"{self.folder}/data/run7/a.h5\n")
        (self.folder / "var/backups").mkdir(parents=True)
        (self.folder / "etc/transfer").mkdir(parents=True)
        second = text.replace(f"{self.home}'", f"{self.folder}/var/lib/transfer-detector2'")
        (self.folder / "var/lib/transfer-detector2").mkdir(parents=True, mode=0o700)
        (self.folder / "etc/transfer/detector2.py").write_text(second, encoding="utf-8")
        (self.home / "tokens.db").touch(mode=0o600)

    def type(self, commands: list[Command], *, signs_in: bool = False) -> list[Outcome]:
        """Type the commands into one shell, one after the other.

        Args:
            signs_in: Whether test_config.py is run on a terminal, where a person answers it.
        """
        lines = [PREPARE]
        for number, command in enumerate(commands):
            line = PLACES.sub(f"{self.folder}/", command.line).replace("JOB_ID", '"$(job_id)"')
            if signs_in and "test_config.py" in line:
                answering = [f"PYTHONPATH={ROOT}", sys.executable, str(ROOT / "tests/support/terminal.py")]
                line = f"{shlex.join(answering)} {line}"
            lines += [MARK % f"@@ {number}", line, MARK % r"\n@@ status $ended"]
        script = self.folder / "page.sh"
        script.write_text("\n".join(lines) + "\n", encoding="utf-8")
        environment = {
            "PATH": f"{self.home}/.venv/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            **(self._globus.environment() if self._globus else {}),
        }
        done = subprocess.run(
            ["bash", str(script)],
            cwd=self.home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=LONGEST_PAGE_SECONDS,
        )
        parts = re.findall(r"^@@ \d+\n(.*?)\n?^@@ status (\d+)$", done.stdout, re.M | re.S)
        assert len(parts) == len(commands), f"the shell gave up:\n{done.stdout}"
        return [Outcome(said.replace(str(self.folder), ""), int(status)) for said, status in parts]

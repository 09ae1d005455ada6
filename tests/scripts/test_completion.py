"""samples/completion.bash in a real bash: what is offered is what the scripts' own help says."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from programs import find, needs
from suite import ROOT
from waiting import LONGEST_WAIT_SECONDS

COMPLETION = ROOT / "samples/completion.bash"
BASH = find("bash")
pytestmark = needs("bash")
OFFER = (
    f"source '{COMPLETION}'; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _globus_transfer; "
    'printf "%s\\n" "${COMPREPLY[@]}"'
)


def offered(*words: str) -> list[str]:
    """What bash would offer for the last of the words of a command."""
    command = ["bash", "--noprofile", "--norc", "-c", OFFER, "bash", sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def options_of(words: Sequence[str]) -> set[str]:
    """The options in a script's help, as argparse lists them."""
    shown = subprocess.run([sys.executable, *words, "--help"], capture_output=True, text=True, timeout=60, check=True)
    usage_and_options = shown.stdout.partition("\nexamples:\n")[0]
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", usage_and_options))


@pytest.mark.parametrize(
    "words",
    [["main.py"], ["set_time.py"], ["status.py"], ["test_config.py"], ["timer.py"], ["timer.py", "job", "transfer"]],
    ids=" ".join,
)
def test_every_option_of_a_script_is_offered_and_no_other(words: list[str]) -> None:
    words = [str(ROOT / words[0]), *words[1:]]

    assert set(offered(*words, "--")) == options_of(words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["timer.py", "j"], ["job"]),
        (["timer.py", "session", "log"], ["login", "logout"]),
        (["timer.py", "--config", "route.py", "job", "pa"], ["pause"]),
        (["status.py", "--format", ""], ["csv", "jsonl"]),
        (["-X", "utf8", "main.py", "--dry"], ["--dry-run"]),
        (["main.py", "x"], []),
        (["main.py", "--config", "x"], []),
        (["manage.py", "--"], []),
        (["-m", "pytest", "--"], []),
    ],
    ids=lambda value: " ".join(value),
)
def test_words_are_completed_and_all_else_is_left_to_names_of_files(words: list[str], expected: list[str]) -> None:
    words = [str(ROOT / word) if (ROOT / word).is_file() else word for word in words]

    assert offered(*words) == expected


def test_a_person_presses_tab(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(sys.executable)
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "--noprofile", "--norc", "-i"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "TERM": "dumb", "PS1": "ready$ ", "HOME": str(tmp_path)},
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)

    def type_and_await(text: str, answer: str) -> str:
        os.write(ours, text.encode())
        shown = ""
        give_up_at = time.monotonic() + LONGEST_WAIT_SECONDS
        while answer not in shown and select.select([ours], [], [], max(0.0, give_up_at - time.monotonic()))[0]:
            shown += os.read(ours, 4096).decode()
        assert answer in shown
        return shown

    try:
        type_and_await("source samples/completion.bash; echo so''urced\n", "sourced\r\n")
        type_and_await(f"{sys.executable} main.py --dry\t", "--dry-run ")
        type_and_await("\x15set_", "set_")
        type_and_await("\x15python3 set_ti\t", "set_time.py ")
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)

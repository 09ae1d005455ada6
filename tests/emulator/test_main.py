"""`python -m emulator` as a program: serving, around a command, and with wrong arguments."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "5a0c9d5e-0000-4000-8000-000000000001"
SERVICES = ("AUTH", "TRANSFER", "TIMER", "TIMERS", "GROUPS", "SEARCH", "FLOWS", "COMPUTE")
AROUND = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"} | {"NO_PROXY": "example.org"}
COMMAND = [sys.executable, "-m", "emulator"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, cwd=ROOT, env=AROUND, timeout=60, check=False
    )


def test_without_a_command_it_serves_until_it_is_stopped(tmp_path: Path) -> None:
    arguments = ["--collection", f"{SOURCE}={tmp_path},type=mapped,name=Big, blue disk"]
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=AROUND
    ) as program:
        assert program.stdout is not None and program.stderr is not None
        lines = list(iter(program.stdout.readline, "export no_proxy=example.org,127.0.0.1\n"))
        found = [re.fullmatch(r"export (\w+)=(http://127\.0\.0\.1:\d+/[\w-]{32}/)\n", line) for line in lines]
        names = [match.group(1) for match in found if match]
        url = found[0].group(2) if found[0] else ""

        (collection,) = requests.get(url + "_emulator/state", timeout=60).json()["collections"]
        with socket.socket() as other, pytest.raises(OSError):
            other.settimeout(1)
            other.connect(("127.0.0.2", urlsplit(url).port))
        program.send_signal(signal.SIGTERM)
        rest, words = program.communicate(timeout=60)

    assert names == [f"GLOBUS_SDK_SERVICE_URL_{name}" for name in SERVICES]
    assert lines[-1] == "export NO_PROXY=example.org,127.0.0.1\n"
    assert (collection["id"], collection["type"], collection["name"]) == (SOURCE, "mapped", "Big, blue disk")
    assert (program.returncode, rest) == (0, "")
    assert len(words.splitlines()) == 1


def test_with_a_command_it_runs_that_and_gives_its_status(tmp_path: Path) -> None:
    script = (
        "import os, sys, urllib.request;"
        "url = os.environ['GLOBUS_SDK_SERVICE_URL_TRANSFER'];"
        "print(os.environ['no_proxy'], urllib.request.urlopen(url + 'jwk.json').status, sys.argv[1:]);"
        "sys.exit(7)"
    )

    done = run("--collection", f"{SOURCE}={tmp_path}", "--", sys.executable, "-c", script, "--port", "x y")

    assert (done.returncode, done.stdout, done.stderr) == (7, "example.org,127.0.0.1 200 ['--port', 'x y']\n", "")


def test_a_command_that_is_stopped_ends_it_too(tmp_path: Path) -> None:
    arguments = ["--collection", f"{SOURCE}={tmp_path}", "--", sys.executable, "-c"]
    script = "import time; print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([*COMMAND, *arguments, script], stdout=subprocess.PIPE, text=True, cwd=ROOT) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "up\n"
        program.send_signal(signal.SIGTERM)

        assert program.wait(timeout=60) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--collection"),
        (["--collection", "mine=/tmp"], "UUID"),
        (["--collection", SOURCE], "ID=DIR"),
        (["--collection", f"{SOURCE}=/no/such/folder"], "not a folder"),
        (["--collection", f"{SOURCE}=/,write"], "only be read"),
        (["--collection", f"{SOURCE}=/tmp,type=tape"], "gcp, mapped or guest"),
        (["--collection", f"{SOURCE}=/tmp", "--collection", f"{SOURCE}=/"], "same ID"),
        (["--collection", f"{SOURCE}=/tmp", "--progress", "polls:none"], "polls:N"),
        (["--collection", f"{SOURCE}=/tmp", "--port", "70000"], "--port"),
        (["--collection", f"{SOURCE}=/tmp", "--colour"], "--colour"),
        (["--collection", f"{SOURCE}=/tmp", "--"], "COMMAND"),
    ],
)
def test_a_wrong_argument_is_said_in_one_line(arguments: list[str], word: str) -> None:
    done = run(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert word in done.stderr


def test_a_port_that_is_taken_and_a_command_that_is_not_there_are_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = run("--collection", f"{SOURCE}={tmp_path}", "--port", port)
    missing = run("--collection", f"{SOURCE}={tmp_path}", "--", "no-such-command")

    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert port in refused.stderr
    assert (missing.returncode, len(missing.stderr.splitlines())) == (127, 1)


def test_help_teaches_by_example() -> None:
    done = run("--help")

    assert done.returncode == 0
    for word in ("examples:", "researcher@example.org", "type=gcp|mapped|guest", "-- COMMAND", "127.0.0.1"):
        assert word in done.stdout


def test_importing_it_does_nothing_and_needs_no_sdk() -> None:
    script = "import sys, emulator.http.server; sys.exit('globus_sdk' in sys.modules or 'autotransfer' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env={**os.environ}, timeout=60, check=False)

    assert done.returncode == 0


def test_the_map_of_the_package_names_all_that_is_in_it() -> None:
    map_of_files = (ROOT / "emulator/__init__.py").read_text()

    for path in (ROOT / "emulator").glob("[!_]*"):
        assert f"    {path.stem}{'/' if path.is_dir() else ' '}" in map_of_files, path.name

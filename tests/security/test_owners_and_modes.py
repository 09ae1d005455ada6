"""Who may read and write our files: from their first instant, where they were looser before, and what is reported."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from programs import path_of
from suite import Result, Route
from terminal import on_a_terminal

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
OURS = ("datastore", "log", "lock", "alerts.json", "tokens.db")
STRANGER = 54321
CREATED = re.compile(r'^(?:\d+ +)?open(?:at)?\((?:AT_FDCWD, )?"([^"]+)", ([A-Z_|]+)(?:, (0\d+))?\) += (-?\d+)')
MASKED = re.compile(r"^(?:\d+ +)?umask\((0\d*)\)")


def created_modes(route: Route, *words: str) -> dict[str, int]:
    """The modes with which a script, started with umask 000, made files in CODE_PATH, as the system calls tell."""
    strace = path_of("strace")
    trace = route.folder / "trace"
    subprocess.run(
        [strace, "-f", "-s", "4096", "-e", "trace=open,openat,umask", "-o", str(trace), *route.command(*words)],
        env=route.bare_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        preexec_fn=lambda: os.umask(0) and None,
    )
    mask = 0
    made: dict[str, int] = {}
    for line in trace.read_text().splitlines():
        if found := MASKED.match(line):
            mask = int(found[1], 8)
        if (found := CREATED.match(line)) and "O_CREAT" in found[2] and int(found[4]) >= 0:
            path = Path(found[1])
            if path.parent == route.code_path:
                made.setdefault(path.name, int(found[3], 8) & ~mask)
    return made


def test_our_files_are_owner_only_from_their_first_instant(route: Route) -> None:
    route.write("a")

    made = created_modes(route, "main.py", "--wait", "60")

    assert made.keys() >= {"datastore", "datastore-journal", "log", "lock"}
    assert {f"{name} {mode:o}" for name, mode in made.items() if mode & 0o077} == set()


def test_the_login_is_owner_only_from_its_first_instant(route: Route) -> None:
    route.configure(CLIENT_SECRET_FILE="")
    strange = os.umask(0)
    try:
        on_a_terminal(route, "test_config.py")
    finally:
        os.umask(strange)
    assert stat.S_IMODE((route.code_path / "tokens.db").stat().st_mode) == 0o600
    (route.code_path / "tokens.db").unlink()

    made = created_modes(route, "timer.py", "session", "logout")

    assert "tokens.db" in made
    assert {f"{name} {mode:o}" for name, mode in made.items() if mode & 0o077} == set()


def test_what_was_open_to_others_is_closed_by_the_next_run(route: Route) -> None:
    route.configure(CLIENT_SECRET_FILE="")
    on_a_terminal(route, "test_config.py")
    route.write("a")
    route.deliver()
    (route.code_path / "log").write_bytes(b"x" * 20_000)
    route.configure(LOG_MAX_BYTES=10_000)
    for name in OURS:
        (route.code_path / name).chmod(0o666)
    route.write("b")

    route.deliver()

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in route.code_path.iterdir()}
    assert modes.keys() >= {*OURS, "log.1"}
    assert {name: f"{mode:o}" for name, mode in modes.items() if mode != 0o600} == {}


def failed_permissions(route: Route) -> Result:
    """What test_config.py says of owners and modes, which it must find wrong."""
    result = route.run("test_config.py", "--no-login", status=5)
    assert "FAIL  permissions" in result.stdout
    return result


@pytest.mark.parametrize("what", ["route.py", "state"])
@pytest.mark.parametrize("mode", [0o722, 0o702])
def test_a_configuration_or_code_path_that_others_can_write_is_reported(route: Route, what: str, mode: int) -> None:
    path = route.folder / what
    path.chmod(mode)

    said = failed_permissions(route).stdout

    assert f"{path} can be written by others, and what they write is run or trusted" in said
    subprocess.run(["sh", "-ec", said[said.index("chmod") :].split("\n")[0]], check=True)
    route.run("test_config.py", "--no-login", says="ok    permissions")


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_ping_url_that_others_can_read_is_reported(route: Route, mode: int) -> None:
    route.config.chmod(mode)
    route.run("test_config.py", "--no-login", says="ok    permissions")
    route.configure(PING_URL="https://localhost/ping")

    said = failed_permissions(route).stdout

    assert f"{route.config} can be read or written by others, and PING_URL is a secret" in said
    subprocess.run(["sh", "-ec", said[said.index("chmod 600") :].split("\n")[0]], check=True)
    route.run("test_config.py", "--no-login", says="ok    permissions")


@as_root
@pytest.mark.parametrize("what", ["route.py", "state"])
def test_a_configuration_or_code_path_of_another_user_is_reported(route: Route, what: str) -> None:
    path = route.folder / what
    os.chown(path, STRANGER, -1)

    said = failed_permissions(route).stdout

    assert f"{path} belongs to user {STRANGER}, and what they write is run or trusted" in said
    assert f"sudo chown {os.geteuid()} {path}" in said


def test_a_folder_in_which_others_can_replace_the_configuration_is_reported(route: Route) -> None:
    folder = route.folder / "etc"
    folder.mkdir()
    folder.chmod(0o777)
    route.config = route.config.rename(folder / "route.py")

    said = failed_permissions(route).stdout

    assert f"{folder} can be written by others, who can replace {route.config}" in said
    folder.chmod(0o1777)  # as /tmp: only owners can move what is in it
    route.run("test_config.py", "--no-login", says="ok    permissions")


@as_root
def test_a_folder_of_another_user_that_holds_the_configuration_is_reported(route: Route) -> None:
    folder = route.folder / "etc"
    folder.mkdir()
    os.chown(folder, STRANGER, -1)
    route.config = route.config.rename(folder / "route.py")

    said = failed_permissions(route).stdout

    assert f"{folder} belongs to user {STRANGER}, who can replace {route.config}" in said

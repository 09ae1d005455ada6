"""config.py and the owner's config_local.py: which wins, what messages name, and upgrades with a real git."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import machine
import pytest
from programs import needs
from suite import ROOT, Route, copied_checkout

needs_git = needs("git")
CHECKED_OUT = "git checkout HEAD -- config.py"


def dry_run(checkout: Path, *, status: int = 0, script: str = "main.py", option: str = "--dry-run") -> str:
    """Run a script of a checkout as cron would; gives what it says."""
    done = subprocess.run(
        [sys.executable, str(checkout / script), option],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def lines(settings: dict[str, Any]) -> str:
    return "".join(f"{name} = {value!r}\n" for name, value in settings.items())


def fill_in(path: Path, settings: dict[str, Any]) -> None:
    """Edit config.py itself, as someone does who has not read where settings belong."""
    text = path.read_text(encoding="utf-8")
    for name, value in settings.items():
        text = re.sub(rf"^{name} = .*$", f"{name} = {value!r}", text, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def checkout(lonely_route: Route, tmp_path: Path) -> Path:
    """A checkout whose config_local.py holds a route that skips *.tmp."""
    lonely_route.write("a.txt")
    lonely_route.write("b.tmp")
    made = copied_checkout(tmp_path / "checkout")
    (made / "config_local.py").write_text(lines({**lonely_route.settings, "EXCLUDE": ["*.tmp"]}), encoding="utf-8")
    return made


# ---- which file counts ----------------------------------------------------------------------------------------------


def test_config_local_wins_and_what_it_leaves_open_comes_from_config(checkout: Path) -> None:
    fill_in(checkout / "config.py", {"EXCLUDE": ["a.txt"], "SYMLINKS": "follow"})
    (checkout.parent / "src/link").symlink_to("a.txt")

    said = dry_run(checkout)

    assert "a.txt" in said and "link" in said
    assert "b.tmp" not in said


@pytest.mark.parametrize("name", ["config.py", "config_local.py"])
def test_either_name_of_the_pair_means_both(checkout: Path, name: str) -> None:
    fill_in(checkout / "config.py", {"SYMLINKS": "follow"})
    (checkout.parent / "src/link").symlink_to("a.txt")
    words = [sys.executable, str(checkout / "main.py"), "--dry-run", "--config", name]

    done = subprocess.run(words, cwd=checkout, env={}, capture_output=True, text=True, timeout=60, check=True)

    assert "link" in done.stdout and "b.tmp" not in done.stdout


def test_another_route_is_not_touched_by_them(lonely_route: Route, checkout: Path) -> None:
    (checkout / "config.py").write_text("raise RuntimeError('config.py')\n", encoding="utf-8")
    (checkout / "config_local.py").write_text("raise RuntimeError('config_local.py')\n", encoding="utf-8")
    words = [sys.executable, str(checkout / "main.py"), "--dry-run", "--config", str(lonely_route.config)]

    done = subprocess.run(words, env={}, capture_output=True, text=True, timeout=60, check=True)

    assert "b.tmp" in done.stdout


def test_without_config_local_an_edited_config_py_works_and_test_config_says_so(
    lonely_route: Route, checkout: Path
) -> None:
    (checkout / "config_local.py").unlink()
    fill_in(checkout / "config.py", lonely_route.settings)

    said = dry_run(checkout)
    checks = dry_run(checkout, script="test_config.py", option="--no-login", status=6)

    assert "a.txt" in said
    assert f"{checkout}/config.py is complete" in checks
    assert "itself was edited (SRC_DIR, " in checks
    assert f"Move these lines to {checkout}/config_local.py" in checks
    assert CHECKED_OUT in checks


# ---- what is wrong in them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("added", "says"),
    [
        ("EXCLUDES = ['x']\n", "config_local.py has 1 wrong setting:\n  - EXCLUDES is not a setting; did you mean"),
        ("SCAN = 'fast'\n", "config_local.py has 1 wrong setting:\n  - SCAN must be one of"),
        ("SCAN = (\n", "config_local.py is not Python in line "),
        ("raise SystemExit\n", "config_local.py fails in line "),
        ("SCAN = SCANS\n", "config_local.py fails in line "),
        ("CODE_PATH = SRC_DIR\n", "config_local.py has 1 wrong setting:\n  - CODE_PATH "),
    ],
)
def test_a_mistake_is_named_with_the_file_that_it_is_in(checkout: Path, added: str, says: str) -> None:
    with (checkout / "config_local.py").open("a", encoding="utf-8") as local:
        local.write(added)

    assert f"{checkout}/{says}" in dry_run(checkout, status=5)


@pytest.mark.parametrize("kind", ["a link that leads nowhere", "a folder"])
def test_a_config_local_that_cannot_be_read_is_never_taken_for_none(
    lonely_route: Route, checkout: Path, kind: str
) -> None:
    fill_in(checkout / "config.py", lonely_route.settings)
    local = checkout / "config_local.py"
    local.unlink()
    if kind == "a folder":
        local.mkdir()
    else:
        local.symlink_to("/not/mounted/config_local.py")

    said = dry_run(checkout, status=5)

    assert f"Cannot read the configuration {local}" in said
    assert ("mount the disk that it leads to" in said) == kind.startswith("a link")


@pytest.mark.parametrize(
    ("line", "write"),
    [
        ("VERIFY_CHECKSUM = true", "VERIFY_CHECKSUM = True` or `VERIFY_CHECKSUM = False"),
        ("ENCRYPT_DATA = off  # in the lab", "ENCRYPT_DATA = True` or `ENCRYPT_DATA = False"),
        ('LABEL = "run 7', 'LABEL = "run 7"'),
        ("SRC_PATH = '/data/run7   # as Globus shows it", 'SRC_PATH = "/data/run7"'),
        ("SRC_PATH = /data/run7", 'SRC_PATH = "/data/run7"'),
        ("SRC_ID = ddb59aef-6d04-11e5-ba46-22000b92c6ec", 'SRC_ID = "ddb59aef-6d04-11e5-ba46-22000b92c6ec"'),
        ("LABEL = \u201crun 7\u201d", 'LABEL = "run 7"'),
        ("SCAN = quick", 'SCAN = "quick"'),
        ('SCAN == "quick"', 'SCAN = "quick"'),
        ('SRC_PATH: "/data/run7"', 'SRC_PATH = "/data/run7"'),
        ("LABEL = null", 'LABEL = ""'),
        ("EXCLUDE = [*.tmp]", 'EXCLUDE = ["*.tmp"]'),
        ("SETTLE_SECONDS = 10s", "SETTLE_SECONDS = 10"),
    ],
)
def test_a_line_that_is_not_python_is_shown_with_what_to_write(lonely_route: Route, line: str, write: str) -> None:
    name = line.split()[0].rstrip(":")
    others = [other for other in lonely_route.config.read_text().splitlines() if other.split()[0] != name]
    lonely_route.config.write_text("\n".join([*others, line, ""]))

    said = lonely_route.run("main.py", status=5).stderr

    assert f" in line {len(others) + 1}: " in said
    assert f" The line is `{line}`. Write `{write}`. Nothing was sent or recorded." in said


def test_a_line_that_holds_a_secret_is_not_shown(lonely_route: Route) -> None:
    with lonely_route.config.open("a") as config:
        config.write("PING_URL = https://hc-ping.com/this-is-secret\n")

    said = lonely_route.run("main.py", status=5, says="is not Python in line ").stderr

    assert "this-is-secret" not in said


def test_a_file_that_the_configuration_itself_cannot_read_is_not_called_the_configuration(lonely_route: Route) -> None:
    with lonely_route.config.open("a") as config:
        config.write("LABEL = open('/no/such/label').read()\n")

    lonely_route.run("main.py", status=5, says=": FileNotFoundError: [Errno 2] No such file")


def test_settings_in_small_letters_are_named(lonely_route: Route) -> None:
    lonely_route.config.write_text(lonely_route.config.read_text().replace("DST_ID =", "dst_id ="))

    lonely_route.run("main.py", status=5, says="DST_ID is empty; dst_id is another name: write it in capitals")


def test_a_configuration_that_may_not_be_read_is_not_to_be_copied_again(lonely_route: Route) -> None:
    before = machine.without_rights()
    lonely_route.config.chmod(0)

    said = machine.run(lonely_route, "main.py", before=before).stderr

    assert "permission denied. Give this user read permission on it and on the folders above it." in said
    assert "opy" not in said


def test_without_config_py_the_remedy_is_to_restore_it(checkout: Path) -> None:
    (checkout / "config.py").unlink()

    said = dry_run(checkout, status=5)

    assert f"Cannot read the configuration {checkout}/config.py" in said and CHECKED_OUT in said


def test_a_config_local_that_others_can_write_is_reported(checkout: Path) -> None:
    (checkout / "config_local.py").chmod(0o666)

    said = dry_run(checkout, script="test_config.py", option="--no-login", status=5)

    assert f"chmod go-w {checkout}/config_local.py" in said


# ---- upgrades -------------------------------------------------------------------------------------------------------


def git(folder: Path, *words: str, status: int = 0) -> str:
    """Run git on a repository, with nothing of this machine's settings; gives what it says."""
    identity = ("-c", "user.name=Upstream", "-c", "user.email=upstream@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *identity, *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode == 0) == (status == 0), done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """The repository that a user cloned."""
    made = copied_checkout(tmp_path / "upstream")
    git(made, "init", "-q")
    git(made, "add", "-A")
    git(made, "commit", "-q", "-m", "Release the first version")
    return made


@pytest.fixture
def clone(upstream: Path, lonely_route: Route) -> Path:
    """Their clone, in CODE_PATH of their route, without settings yet."""
    lonely_route.write("a.txt")
    lonely_route.write("b.tmp")
    git(upstream.parent, "clone", "-q", str(upstream), "clone")
    return upstream.parent / "clone"


def release(upstream: Path) -> None:
    """Publish a version with other comments and another default in config.py, in every line that a user edits."""
    path = upstream / "config.py"
    text = re.sub(r"^# (\S.*)\n([A-Z])", r"# Newly said: \1\n\2", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path.write_text(text.replace('SRC_DIR = ""', "SRC_DIR = None").replace('SCAN = "full"', 'SCAN = "quick"'))
    git(upstream, "commit", "-q", "-a", "-m", "Release the second version")


@needs_git
def test_an_upgrade_leaves_the_settings_alone(lonely_route: Route, upstream: Path, clone: Path) -> None:
    settings = {**lonely_route.settings, "EXCLUDE": ["*.tmp"], "CODE_PATH": str(clone)}
    (clone / "config_local.py").write_text(lines(settings), encoding="utf-8")
    before = dry_run(clone)
    release(upstream)

    pulled = git(clone, "pull", "-q")

    assert (pulled, git(clone, "status", "--porcelain")) == ("", "")
    assert "Newly said" in (clone / "config.py").read_text(encoding="utf-8")
    assert dry_run(clone).splitlines()[0] == before.splitlines()[0]
    assert "b.tmp" not in before


@needs_git
def test_settings_in_config_py_itself_are_moved_as_the_manual_says(
    lonely_route: Route, upstream: Path, clone: Path
) -> None:
    manual = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    commands = re.search(r"```sh\n(cp -n.*?)```", manual, re.DOTALL)
    assert commands
    fill_in(clone / "config.py", {**lonely_route.settings, "EXCLUDE": ["*.tmp"]})
    release(upstream)

    refused = git(clone, "pull", "-q", status=1)

    assert re.sub(r"\s+", " ", "overwritten by merge: config.py") in re.sub(r"\s+", " ", refused)
    for command in commands[1].strip().splitlines():
        subprocess.run(command.replace("git pull", "git pull -q"), shell=True, cwd=clone, check=True)
        said = dry_run(clone)
        assert "a.txt" in said and "b.tmp" not in said
    assert git(clone, "status", "--porcelain") == ""
    assert "Newly said" in (clone / "config.py").read_text(encoding="utf-8")


@needs_git
def test_the_marks_of_a_conflict_are_reported_with_the_way_out(
    lonely_route: Route, upstream: Path, clone: Path
) -> None:
    fill_in(clone / "config.py", lonely_route.settings)
    release(upstream)
    git(clone, "stash")
    git(clone, "pull", "-q")
    git(clone, "stash", "pop", status=1)

    said = dry_run(clone, status=5)
    (clone / "config_local.py").write_text(lines(lonely_route.settings), encoding="utf-8")
    git(clone, *CHECKED_OUT.split()[1:])

    assert f"The configuration {clone}/config.py is not Python in line " in said
    assert CHECKED_OUT in said and "config_local.py" in said
    assert "a.txt" in dry_run(clone)

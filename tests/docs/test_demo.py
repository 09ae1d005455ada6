"""The demo, the Makefile that starts it, and the samples."""

from __future__ import annotations

import getpass
import grp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from programs import path_of
from suite import ROOT

from samples.demo import Demo, Unexpected

SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
FROM_MAKE = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "PYTHON", "VENV", "VENV_CLI", "ARGS"}


def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout; stderr is in its stdout."""
    # What `make test` itself was given is not meant for a make that a test starts.
    around = {name: value for name, value in os.environ.items() if name not in FROM_MAKE}
    return subprocess.run(
        words,
        cwd=ROOT,
        env={**around, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_demo_ends_with_the_verdict_that_source_and_archive_are_the_same(tmp_path: Path) -> None:
    done = run(sys.executable, "samples/demo.py", "--folder", tmp_path / "demo", "--files", "4")

    assert done.returncode == 0, done.stdout
    assert "A run would work here, but not under cron" in done.stdout
    assert "Nothing to send." in done.stdout
    assert "(exit status 3)" in done.stdout
    assert "The archive is the same as the source: 5" in done.stdout
    assert "\033[" not in done.stdout
    assert "Traceback" not in done.stdout + (tmp_path / "demo/emulator.log").read_text()


def test_the_demo_removes_no_folder_but_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    done = run(sys.executable, "samples/demo.py", "--folder", tmp_path)

    assert done.returncode == 1
    assert "is left alone" in done.stdout
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.fixture
def copied(tmp_path: Path) -> Demo:
    """A demo whose tree was copied as Globus should have done it."""
    demo = Demo(tmp_path / "demo", 2)
    demo.prepare()
    shutil.copytree(demo.src, demo.dst, ignore=shutil.ignore_patterns("*.tmp", "latest"))
    return demo


@pytest.fixture(params=["rsync", "diff", ""])
def tool(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only tool for comparing that the demo finds; none of them at last."""
    name = str(request.param)
    found = path_of(name) if name else ""
    (tmp_path / "bin").mkdir()
    if found:
        (tmp_path / "bin" / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return name


def test_the_demo_finds_a_true_copy_true(copied: Demo, tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    copied.judge()

    done = capsys.readouterr().out
    assert "The archive is the same as the source" in done
    assert f"$ {tool} " in done if tool else "$" not in done


@pytest.mark.parametrize("damage", ["content", "mtime", "missing", "extra", "excluded", "symlink", "folder"])
def test_the_demo_finds_every_kind_of_difference(copied: Demo, tool: str, damage: str) -> None:
    victim = copied.dst / "calibration/dark_1.raw"
    before = victim.stat()
    if damage == "content":
        victim.write_bytes(bytes(before.st_size))
        os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif damage == "mtime":
        os.utime(victim, (before.st_atime, before.st_mtime + 1))
    elif damage == "missing":
        victim.unlink()
    elif damage == "extra":
        (copied.dst / "calibration/extra.raw").touch()
    elif damage == "excluded":
        (copied.dst / "calibration/scratch.tmp").touch()
    elif damage == "symlink":
        (copied.dst / "calibration/latest").symlink_to("dark_1.raw")
    else:
        (copied.dst / "2026-03-03/scan_0004 aborted").rmdir()

    with pytest.raises(Unexpected):
        copied.judge()


def cron_lines(path: Path) -> list[str]:
    """What cron would not skip."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def test_every_line_of_the_sample_crontab_is_one_that_cron_takes() -> None:
    lines = cron_lines(ROOT / "samples/crontab")

    jobs = [line for line in lines if not re.fullmatch(r"[A-Z]+ ?= ?\S+", line)]
    assert [line for line in lines if line.startswith("MAILTO")]
    assert len(jobs) >= 2
    assert {("--config" in job) for job in jobs} == {True, False}
    for job in jobs:
        *fields, command = job.split(maxsplit=5)
        limits = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
        for field, (least, most) in zip(fields, limits):
            match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", field)
            assert match, f"{field!r} in {job!r}"
            numbers = [int(text) for text in match.groups() if text]
            assert all(least <= number <= most for number in numbers), job
        python, script, *options = command.split()
        assert python.endswith("/.venv/bin/python")
        assert script.startswith("/")
        assert script.endswith("/main.py")
        assert options[:1] in ([], ["--config"])
        assert not re.search(r"(?<!\\)%", command), "cron takes % for a line end"


def test_logrotate_takes_the_sample(tmp_path: Path) -> None:
    logrotate = path_of("logrotate")
    sample = (ROOT / "samples/logrotate").read_text(encoding="utf-8")
    log = tmp_path / "log"
    log.write_text("a line\n" * 3)
    here = sample.replace("/opt/transfer/log", str(log))
    here = here.replace("su transfer transfer", f"su {getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}")
    config = tmp_path / "logrotate.conf"
    config.write_text(here)
    config.chmod(0o644)

    tried = run(logrotate, "--debug", config)
    done = run(logrotate, "--force", "--state", tmp_path / "state", config)

    assert "error" not in tried.stdout
    assert done.returncode == 0, done.stdout
    assert not log.exists()
    assert [path.read_text() for path in tmp_path.glob("log-*")] == ["a line\n" * 3]


@pytest.fixture
def make() -> str:
    """Where make is."""
    return path_of("make")


def test_make_names_an_interpreter_that_is_missing_or_too_old(make: str, tmp_path: Path) -> None:
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    missing = run(make, "install", f"PYTHON={tmp_path}/nowhere", f"VENV={tmp_path}/venv")
    too_old = run(make, "install", f"PYTHON={old}", f"VENV={tmp_path}/venv")

    assert missing.returncode
    assert f"there is no {tmp_path}/nowhere" in missing.stdout
    assert too_old.returncode
    assert f"{old} is older than 3.9" in too_old.stdout
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("is_environment", [False, True])
def test_make_empties_no_folder_that_it_has_not_made(make: str, tmp_path: Path, is_environment: bool) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1").touch()
    if is_environment:  # whose interpreter is gone
        (folder / "pyvenv.cfg").touch()
    (tmp_path / "link").symlink_to(folder)

    for name in ("thesis", "link", "link/"):
        done = run(make, "install", f"PYTHON={sys.executable}", f"VENV={tmp_path}/{name}")

        assert done.returncode
        assert "exists and was not made here" in done.stdout
        assert (folder / "chapter1").exists() and (tmp_path / "link").is_symlink()


MARK = ".made-by-make"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the Makefile, in a folder in which it has made nothing."""
    copy = (tmp_path / "checkout").resolve()
    copy.mkdir()
    shutil.copy(ROOT / "Makefile", copy)
    return copy


@pytest.mark.parametrize("kind", ["folder", "environment", "of another checkout", "link", "link/"])
def test_distclean_removes_what_was_made_here_and_nothing_else(
    make: str, tmp_path: Path, checkout: Path, kind: str
) -> None:
    made, other = tmp_path / "made here", tmp_path / "thesis"
    for folder in (made, other):
        folder.mkdir()
        (folder / "chapter1").touch()
    (made / MARK).write_text(f"{checkout}\n")
    if kind == "environment":
        (other / "pyvenv.cfg").touch()
    elif kind != "folder":
        (other / MARK).write_text(f"{checkout}/another\n" if kind == "of another checkout" else f"{checkout}\n")
        (tmp_path / "link").symlink_to(other)
    named = f"{tmp_path}/{kind}" if kind.startswith("link") else str(other)

    done = run(make, "-C", checkout, "distclean", f"VENV={named}", f"VENV_CLI={made}")

    assert done.returncode == 0, done.stdout
    assert f"{named} was not made here, so it stays" in done.stdout
    assert ((other / "chapter1").exists(), os.path.lexists(named), made.exists()) == (True, True, False)


def test_an_environment_that_was_half_made_here_is_made_anew_and_one_that_cannot_be_made_leaves_nothing(
    make: str, tmp_path: Path, checkout: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text(f'#!/bin/sh\n[ "$1" = -c ] || exit 1\nexec {sys.executable} "$@"\n')
    broken.chmod(0o755)
    folder = tmp_path / "venv"
    words = (make, "-C", checkout, f"VENV={folder}", folder / "bin/python")

    assert run(*words, f"PYTHON={broken}").returncode and not folder.exists()
    folder.mkdir()
    (folder / MARK).write_text(f"{checkout}\n")
    done = run(*words, f"PYTHON={sys.executable}")

    assert (folder / "bin/python").exists(), done.stdout
    assert (folder / MARK).read_text() == f"{checkout}\n"


def test_make_alone_lists_every_target(make: str) -> None:
    done = run(make).stdout

    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    declared = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert declared
    assert {target for target in declared[1].split() if target != "interpreter"} == set(
        re.findall(r"^  make (\S+) ", done, re.MULTILINE)
    )

"""The scripts as cron starts them: a bare environment, any working directory, nobody to ask, nothing printed."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
from suite import ROOT, Route, copied_checkout
from waiting import LONGEST_WAIT_SECONDS, until_held

SCRIPTS = ("main.py", "set_time.py")


def run_bare(*command: str, cwd: str = "/", environment: Optional[dict[str, str]] = None, **options: Any) -> Any:
    """Run a command with an environment of just these variables, by default none at all."""
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, **options}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment or {}, text=True, timeout=60, check=False, **options
    )


@pytest.mark.parametrize("cwd", ["/", "tree", "state"])
def test_a_run_that_sends_says_nothing_from_any_working_directory(route: Route, cwd: str) -> None:
    route.write("a.txt")
    folder = {"tree": str(route.src), "state": str(route.code_path)}.get(cwd, cwd)

    done = run_bare(*route.command("main.py")[1:], cwd=folder, environment=route.bare_environment())

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(route.sent()) == 1


def test_no_variable_is_needed_not_even_home_or_path(lonely_route: Route) -> None:
    lonely_route.write("a.txt")

    marked = run_bare(*lonely_route.command("set_time.py", "now")[1:])
    idle = run_bare(*lonely_route.command("main.py")[1:])

    assert (marked.returncode, idle.returncode, idle.stdout, idle.stderr) == (0, 0, "", "")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_symlink_to_a_script_works(lonely_route: Route, tmp_path: Path, script: str) -> None:
    lonely_route.write("a.txt")
    link = tmp_path / "bin" / script
    link.parent.mkdir()
    link.symlink_to(ROOT / script)

    done = run_bare(
        *(str(link), "--config", str(lonely_route.config)), *(["now"] if script == "set_time.py" else ["--dry-run"])
    )

    assert done.returncode == 0, done.stderr
    assert "1 path" in done.stdout


def test_the_configuration_beside_the_script_is_the_one_that_counts(lonely_route: Route, tmp_path: Path) -> None:
    checkout = copied_checkout(tmp_path / "a checkout with blanks")
    shutil.copy(lonely_route.config, checkout / "config.py")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.py").write_text("raise RuntimeError('another config.py')\n")
    lonely_route.write("a.txt")

    done = run_bare(str(checkout / "main.py"), "--dry-run", cwd=str(tmp_path / "elsewhere"))

    assert done.returncode == 0, done.stderr
    assert "a.txt" in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unedited_configuration_is_explained_with_the_settings_to_fill_in(tmp_path: Path, script: str) -> None:
    checkout = copied_checkout(tmp_path / "checkout")
    arguments = ["now"] if script == "set_time.py" else []

    done = run_bare(str(checkout / script), *arguments)

    assert done.returncode == 5
    for name in ("SRC_DIR", "DST_DIR", "SRC_ID", "DST_ID", "CLIENT_ID", "CODE_PATH"):
        assert f"{name} is empty" in done.stderr
    assert "make demo" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_written_into_the_checkout(lonely_route: Route, tmp_path: Path) -> None:
    checkout = copied_checkout(tmp_path / "checkout")
    lonely_route.write("a.txt")
    before = sorted(str(path.relative_to(checkout)) for path in checkout.rglob("*"))

    for words in (["set_time.py", "now"], ["main.py"]):
        script, *arguments = words
        environment = {"PYTHONDONTWRITEBYTECODE": "1"}
        done = run_bare(
            str(checkout / script), "--config", str(lonely_route.config), *arguments, environment=environment
        )
        assert done.returncode == 0, done.stderr

    assert sorted(str(path.relative_to(checkout)) for path in checkout.rglob("*")) == before


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_every_file_in_code_path_is_its_owners_alone_whatever_the_umask(route: Route, umask: int) -> None:
    route.write("a.txt")

    done = subprocess.run(
        ["sh", "-c", f'umask {umask:o}; exec "$@"', "sh", *route.command("main.py", "--wait", "30")],
        env=route.bare_environment(),
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in route.code_path.iterdir()}
    assert modes == {"datastore": 0o600, "lock": 0o600, "log": 0o600, "alerts.json": 0o600}


def test_names_beyond_ascii_travel_and_are_logged_in_the_c_locale(route: Route) -> None:
    route.write("Strahlrohr_ß_測定.dat")
    route.environment.update(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")

    listed = route.run("main.py", "--dry-run")
    route.run("main.py", "--wait", "30")

    assert "Strahlrohr" in listed.stdout
    assert route.tree(route.dst) == route.tree()


def test_standard_streams_may_all_be_closed(route: Route) -> None:
    route.write("a.txt")
    shell = 'exec "$@" <&- >&- 2>&-'

    done = subprocess.run(
        ["sh", "-c", shell, "sh", *route.command("main.py", "-v", "--wait", "30")],
        env=route.bare_environment(),
        check=False,
    )

    assert done.returncode == 0
    assert route.tree(route.dst) == route.tree()


def test_without_docstrings_and_assertions_the_scripts_do_the_same(route: Route) -> None:
    route.write("a.txt")
    route.environment["PYTHONOPTIMIZE"] = "2"

    helped = route.run("main.py", "--help")
    route.deliver()
    route.run("set_time.py", "never", "--path", str(route.src / "a.txt"), says="1 will be sent")

    assert "examples:" in helped.stdout
    assert "Send what was added or modified" in helped.stdout
    assert route.tree(route.dst) == route.tree()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_code_path_that_is_missing_is_named_with_what_to_do(lonely_route: Route, script: str) -> None:
    lonely_route.code_path.rmdir()
    arguments = ["now"] if script == "set_time.py" else []

    result = lonely_route.run(script, *arguments, status=5)

    assert str(lonely_route.code_path) in result.stderr
    assert "no such file or directory" in result.stderr
    assert "Make the folder" in result.stderr


def test_a_deleted_working_directory_does_not_matter(lonely_route: Route, tmp_path: Path) -> None:
    lonely_route.write("a.txt")
    gone = tmp_path / "gone"
    gone.mkdir()
    shell = f'cd {gone} && rmdir {gone} && exec "$@"'
    words = (
        ("set_time.py", "now", "--path", str(lonely_route.src / "a.txt")),
        ("set_time.py", "now", "--path", "a.txt"),
        ("main.py",),
    )

    for line in words:
        done = subprocess.run(
            ["sh", "-c", shell, "sh", *lonely_route.command(*line)],
            env=lonely_route.bare_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        gone.mkdir(exist_ok=True)

        assert done.returncode == 0, done.stderr


def test_a_bug_is_reported_in_one_line_with_its_place_and_no_traceback() -> None:
    program = "import utils\n\ndef main():\n    return {}['not there']\n\nutils.run_script(main)\n"

    done = run_bare("-c", program, cwd=str(ROOT))

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "KeyError: 'not there'" in done.stderr
    assert "line 4" in done.stderr
    assert done.stderr.count("This is a bug") == 1


def test_a_run_that_is_asked_to_stop_says_that_what_was_recorded_stands(route: Route) -> None:
    assert route.globus is not None
    hold = route.globus.world.add_fault("GET /v0.10/submission_id", hold=True, reset="before")
    route.write("a.txt")
    process = route.start("main.py")
    until_held(hold, process)

    process.terminate()
    _, stderr = process.communicate(timeout=LONGEST_WAIT_SECONDS)
    hold.release()

    assert process.returncode == 130
    assert "What was recorded is kept" in stderr
    assert "Traceback" not in stderr
    assert route.deliver()["delivered"] == 1


def test_the_log_holds_one_closing_line_a_run_in_utc(lonely_route: Route) -> None:
    lonely_route.write("a.txt")
    lonely_route.environment["TZ"] = "Asia/Tokyo"
    lonely_route.run("set_time.py", "now")
    lonely_route.run("main.py")
    lonely_route.run("main.py")

    lines = (lonely_route.code_path / "log").read_text().splitlines()
    closing = [line for line in lines if " run status=0 " in line]

    assert len(closing) == 2
    assert all(line[10] == "T" and line[19] == "Z" for line in lines)
    hour = int(subprocess.run(["date", "-u", "+%H"], capture_output=True, text=True, check=True).stdout)
    assert (hour - int(closing[-1][11:13])) % 24 in (0, 1)

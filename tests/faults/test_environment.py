"""An environment that lacks what others take for granted: a home, a locale, a working folder, descriptors, memory."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import machine
import pytest
from faulty import FaultCheck, assert_recovers
from suite import ROOT, Route
from terminal import sign_in

DELIVERED = "2 paths delivered; 1 task succeeded"
ON_ITS_WAY = "2 paths delivered, 1 path under way; 1 task succeeded"
NOT_ASCII = "M\u00e4rz/\u6e2c\u5b9a \U0001f52c.dat"


@pytest.fixture
def ready(route: Route) -> Route:
    """A route with something delivered and something to send."""
    return machine.one_delivered_one_to_send(route)


# ---- variables ---------------------------------------------------------------------------------------------------


@pytest.mark.fault("no HOME, and no PATH either", sees="", status=0, recorded=ON_ITS_WAY)
def test_no_home_is_no_trouble(ready: Route, fault: FaultCheck) -> None:
    fault.check(machine.run(ready, "main.py", variables={"HOME": None, "PATH": None}), ready)

    assert_recovers(ready, tasks=2)


@pytest.mark.fault(
    "LANG=C or LC_ALL=POSIX, and names that are not ASCII",
    sees="M\u00e4rz/\u6e2c\u5b9a \U0001f52c.dat ... 2 paths (18 B) would be sent",
    status=0,
    recorded=DELIVERED,
)
@pytest.mark.parametrize(
    "variables",
    [
        {"LANG": "C"},
        {"LC_ALL": "POSIX"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "no_SUCH.locale"},
    ],
    ids=" ".join,
)
def test_a_poor_locale_changes_no_name(ready: Route, fault: FaultCheck, variables: dict[str, str]) -> None:
    ready.write(NOT_ASCII)

    fault.check(machine.run(ready, "main.py", "--dry-run", variables=variables), ready)

    assert machine.run(ready, "main.py", variables=variables) == (0, "", "")
    _, *documents = ready.sent()
    assert sorted(path for document in documents for path in ready.sent_paths(document)) == ["M\u00e4rz/", "sub/c.txt"]
    assert_recovers(ready, tasks=3)  # what is new travels apart from what is compared by checksum


@pytest.mark.fault(
    "a TZ that means nothing",
    sees="2 paths count as transferred, 1 will be sent by the next run.",
    status=0,
    recorded=DELIVERED,
)
@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd"])
def test_a_wrong_time_zone_is_utc(ready: Route, fault: FaultCheck, zone: str) -> None:
    ready.write("sub/c.txt", "what is new", mtime_seconds=1_700_007_200)  # 2023-11-15T00:13:20Z

    fault.check(machine.run(ready, "set_time.py", "2023-11-15", variables={"TZ": zone}), ready)

    assert machine.run(ready, "main.py", variables={"TZ": zone}) == (0, "", "")
    assert ready.sent_paths(ready.sent()[-1]) == {"sub/c.txt"}
    assert_recovers(ready, tasks=2)


# ---- what a process inherits -------------------------------------------------------------------------------------


@pytest.mark.fault("umask 000", sees="", status=0, recorded="1 path under way")
def test_own_files_are_owner_only_whatever_the_umask(route: Route, fault: FaultCheck) -> None:
    route.configure(CLIENT_SECRET_FILE="")
    route.write("a.txt")
    former = os.umask(0)
    try:
        sign_in(route)
        result = route.run("main.py", status=None)
    finally:
        os.umask(former)

    fault.check(result, route)

    assert {"datastore", "lock", "log", "tokens.db"} <= {path.name for path in route.code_path.iterdir()}
    machine.assert_sound(route)
    assert_recovers(route)


@pytest.mark.fault("ulimit -n 64, and a tree that is deep and wide", sees="", status=0, recorded="201 paths under way")
def test_few_descriptors_suffice_for_a_deep_and_wide_tree(route: Route, fault: FaultCheck) -> None:
    deepest = "/".join(["deep"] * 100)
    for number in range(100):
        route.write(f"wide{number}/a.txt")
        route.write(f"wide{number}/below/b.txt")
    route.write(f"{deepest}/c.txt")
    with machine.limited(resource.RLIMIT_NOFILE, 64):
        result = route.run("main.py", status=None)

    fault.check(result, route)

    assert_recovers(route)


@pytest.mark.fault(
    "memory runs out (ulimit -v)",
    sees="Memory ran out. ... What was recorded is kept; the next run continues from there.",
    status=5,
    recorded=DELIVERED,
)
def test_memory_that_runs_out_is_reported(ready: Route, fault: FaultCheck) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("what a process has of memory is read from /proc")
    usual = ready.config.read_text()
    # Only so little more than what it has when it reads its configuration: too little to load the SDK.
    ready.config.write_text(
        f"{usual}"
        "import resource as _resource\n"
        "_has = int(open('/proc/self/statm').read().split()[0]) * _resource.getpagesize()\n"
        "_resource.setrlimit(_resource.RLIMIT_AS, (_has + (6 << 20), _resource.RLIM_INFINITY))\n"
    )

    result = ready.run("main.py", status=None)

    fault.check(result, ready)
    ready.config.write_text(usual)
    assert len(ready.sent()) == 1
    assert_recovers(ready, tasks=2)


# ---- folders -----------------------------------------------------------------------------------------------------


@pytest.mark.fault(
    "everything but CODE_PATH is read-only: /tmp, HOME, the checkout", sees="", status=0, recorded=ON_ITS_WAY
)
def test_only_code_path_need_be_writable(ready: Route, fault: FaultCheck) -> None:
    before = machine.where(read_only=(Path("/"), Path("/dev/shm")), writable=(ready.code_path,))

    fault.check(machine.run(ready, "main.py", before=before), ready)

    assert_recovers(ready, tasks=2)


@pytest.mark.fault("the folder it was started in is deleted", sees="", status=0, recorded=ON_ITS_WAY)
def test_a_deleted_working_folder_is_no_trouble(ready: Route, fault: FaultCheck) -> None:
    gone = ready.folder / "gone"
    gone.mkdir()

    fault.check(machine.run(ready, "main.py", before=machine.shell('rmdir "$PWD"; exec "$@"'), cwd=str(gone)), ready)

    assert not gone.exists()
    assert_recovers(ready, tasks=2)


@pytest.mark.fault("the checkout is read-only", sees="", status=0, recorded=ON_ITS_WAY)
def test_a_read_only_checkout_is_no_trouble(ready: Route, fault: FaultCheck) -> None:
    checkout = ready.folder / "checkout"
    checkout.mkdir()
    for name in ("main.py", "utils.py", "config.py", "__init__.py"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / "autotransfer", checkout / "autotransfer", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (checkout, *(path for path in checkout.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    python, _, *arguments = ready.command("main.py")
    change_script = machine.shell(f'shift 2; exec {python} {checkout / "main.py"} "$@"')

    result = machine.run(ready, "main.py", before=(*machine.without_rights(), *change_script))

    fault.check(result, ready)
    assert arguments
    assert not list(checkout.rglob("__pycache__"))
    assert_recovers(ready, tasks=2)

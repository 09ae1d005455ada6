"""The page as a file: what it holds, how large it may become, and what a name can do to it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from archive import a_facility, many_folders, open_store, put, put_runs, settings_in
from suite import ROOT, Route

from autotransfer.common.paths import display
from autotransfer.common.settings import Settings
from autotransfer.datastore.reader import Reader, open_reader
from autotransfer.datastore.record import Delivered
from autotransfer.datastore.store import IN_MEMORY, Store
from autotransfer.status.folders import STANDINGS, Amount, FolderState, TreeFolder, tree
from autotransfer.status.html.folders import choose, columns
from autotransfer.status.html.page import STANDING_WORDS, make
from autotransfer.status.state import read_state

MOST_PAGE_BYTES = 3_000_000
PARTS = ROOT / "autotransfer/status/html/parts"
HOSTILE = [
    "<script>window.hacked=1</script>",
    "</script><script>window.hacked=1</script>",
    "\"><img src=x onerror='window.hacked=1'>",
    "{{ 7 * 7 }}",
    "a\u2028b\u2029c",
    "<!--",
    "&lt;b&gt;",
    "\u202egpj.exe",
]


def page_of(settings: Settings, *, is_renewed: bool = False) -> str:
    store, reader = open_reader(settings)
    with store:
        return make(settings, reader, clock_ns=time.time_ns, is_renewed=is_renewed)[0]


def facts_in(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.fixture
def facility(tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path)
    with open_store(settings) as store:
        a_facility(store, time.time_ns())
    return settings


# ---- what it says ------------------------------------------------------------------------------------------------


def test_it_says_what_status_py_says(facility: Settings) -> None:
    page = page_of(facility)
    store, reader = open_reader(facility)
    with store:
        state = read_state(facility, reader, now_ns=time.time_ns())

    facts = facts_in(page)
    assert "Attention: 4 paths failed more than once (PERMISSION_DENIED)." in page
    assert f"{state.records.total.delivered.files:,} files" in page
    assert facts["days"] == [[day.isoformat(), *amount] for day, amount in sorted(state.records.by_day.items())]
    assert (facts["tree"]["files"][0], facts["tree"]["bytes"][0]) == (
        state.records.total.files,
        state.records.total.size_bytes,
    )
    for failure in state.records.failures:
        assert failure.code in page
    assert len(state.records.failures) == 2
    assert [task[4] for task in facts["tasks"]].count("submitted") == len(state.open_tasks) == 2


def test_it_takes_nothing_from_outside_and_its_policy_names_what_may_run(facility: Settings) -> None:
    page = page_of(facility)

    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    blocks = re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", page, re.DOTALL)
    checksums = {f"sha256-{_base64(hashlib.sha256(block.encode()).digest())}" for block in blocks}
    sources = policy.replace("&#39;", "'")

    assert len(blocks) == 3
    assert set(re.findall(r"sha256-[^']*", sources)) == checksums
    assert "default-src 'none'" in sources
    assert "unsafe" not in sources
    assert not re.search(
        r"""<[^>]*\s(?:src|srcset|data|on\w+|style)\s*=""", page.replace(blocks[1], "").replace(blocks[2], "")
    )
    links = set(re.findall(r'href="([^"#][^"]*)"', page))
    assert links
    assert all(link.startswith("https://app.globus.org/activity/") for link in links)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_text_wherever_it_stands(tmp_path: Path, name: str) -> None:
    settings = settings_in(tmp_path, SRC_DIR=f"/data/{name}")
    with open_store(settings) as store:
        put(store, name, delivered={"file": Delivered(5, 10, time.time_ns(), 1)})
        put_runs(store, time.time_ns(), status=3, notices=(f"Skipped /data/{name}: gone.",))
        store.commit()

    page = page_of(settings)

    harmless = page_of(settings_in(tmp_path / "other"))
    for mark in ("<script", "</script", "<img", "<!--"):
        assert page.count(mark) == harmless.count(mark)
    assert "\u2028" not in page
    assert "\u202e" not in page
    assert "/".join(facts_in(page)["tree"]["names"][1:]) == display(name)


def test_a_page_before_the_first_run_says_so(tmp_path: Path) -> None:
    page = page_of(settings_in(tmp_path))

    assert "No run has been recorded yet." in page
    assert facts_in(page)["tree"]["files"] == [0]


def test_the_library_is_the_one_that_its_makers_publish() -> None:
    library = (PARTS / "d3.min.js").read_bytes()

    assert library.startswith(b"// https://d3js.org v7.9.2 ")
    assert hashlib.sha256(library).hexdigest() == "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1"
    assert "Permission to use, copy, modify" in (PARTS / "d3.LICENSE").read_text()


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        (FolderState(), "empty"),
        (FolderState(Amount(3, 9)), "delivered"),
        (FolderState(Amount(3, 9), (0, 0, 0, 0, 1, 2)), "delivered"),
        (FolderState(Amount(3, 9), (2, 0, 0, 0, 0, 1)), "unproved"),
        (FolderState(Amount(3, 9), (0, 1, 0, 0, 0, 2)), "unproved"),
        (FolderState(Amount(3, 9), (3, 0, 0, 0, 0, 0)), "assumed"),
        (FolderState(Amount(3, 9), in_flight=Amount(1, 1)), "in_flight"),
        (FolderState(Amount(3, 9), in_flight=Amount(1, 1), retrying=Amount(1, 1)), "retrying"),
        (FolderState(retrying=Amount(2, 1), in_flight=Amount(5, 5), failing_files=1), "failing"),
    ],
)
def test_a_folder_has_the_state_that_most_wants_to_be_known(state: FolderState, standing: str) -> None:
    assert state.standing == standing
    assert (state + FolderState(Amount(1, 2), (1, 0, 0, 0, 0, 0))).without(
        FolderState(Amount(1, 2), (1, 0, 0, 0, 0, 0))
    ) == state


def test_every_state_has_a_word_for_a_person() -> None:
    assert tuple(STANDING_WORDS) == STANDINGS


# ---- which folders it names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("most_bytes", [0, 300, 1_500, 4_000, 100_000])
def test_the_parts_of_each_folder_add_up_to_it_however_little_room_there_is(most_bytes: int) -> None:
    with Store(IN_MEMORY) as store:
        a_facility(store, time.time_ns())
        folders = list(tree(Reader(store), now_ns=time.time_ns()))
    chosen = choose(folders, most_bytes=most_bytes)
    made = columns(chosen, now_ns=time.time_ns())

    count = len(made["names"])
    inner: dict[int, list[int]] = {}
    for number in range(1, count):
        assert made["parents"][number] < number
        inner.setdefault(made["parents"][number], []).append(number)
    assert made["parents"][0] == -1
    assert (made["seen"], made["shown"]) == (len(folders), len(chosen.folders))
    for above, numbers in inner.items():
        for column in ("files", "bytes"):
            assert made[column][above] == sum(made[column][number] for number in numbers)
        pending = [made["pending"].get(number, [0] * 5) for number in numbers]
        assert made["pending"].get(above, [0] * 5) == [sum(each) for each in zip(*pending)]
    assert {folder.rel_path for folder in chosen.folders} == (
        {folder.rel_path for folder in folders}
        if most_bytes == 100_000
        else {folder.rel_path for folder in chosen.folders}
    )
    assert len(chosen.folders) < len(folders) or most_bytes == 100_000


def test_where_something_waits_is_named_even_if_larger_folders_are_not() -> None:
    large = [TreeFolder(f"large{number}", 1, state, state) for number in range(100) for state in [_of(10**9)]]
    small = TreeFolder("small", 1, _of(1, failing=1), _of(1, failing=1))
    root = TreeFolder("", 0, FolderState(), _of(10**11, failing=1))

    names = {folder.rel_path for folder in choose([*large, small, root], most_bytes=1_000).folders}

    assert {"", "small"} < names
    assert len(names) < 30


def _of(size_bytes: int, *, failing: int = 0) -> FolderState:
    return FolderState(Amount(5, size_bytes), retrying=Amount(failing, failing), failing_files=failing)


def test_folders_with_long_names_are_added_up_rather_than_make_the_page_too_large() -> None:
    folders = [
        TreeFolder(f"{number:05d}" + "測" * 80, 1, state, state) for number in range(30_000) for state in [_of(number)]
    ]
    whole = FolderState(Amount(150_000, sum(range(30_000))))

    made = columns(choose([*folders, TreeFolder("", 0, FolderState(), whole)]), now_ns=time.time_ns())

    assert len(json.dumps(made, separators=(",", ":"))) < 2_300_000
    assert made["kinds"] == {len(made["names"]) - 1: "rest"}


def test_a_million_files_make_a_page_below_three_megabytes_in_flat_memory(
    tmp_path_factory: pytest.TempPathFactory, lonely_route: Route
) -> None:
    tmp_path = tmp_path_factory.mktemp("million")  # not among what is searched for secrets: it is much, and made here
    peaks = []
    for folders in (200, 20_000):
        route_folder = tmp_path / str(folders)
        settings = settings_in(route_folder)
        with open_store(settings) as store:
            many_folders(store, time.time_ns(), folders=folders, files_each=50)
        lonely_route.configure(SRC_DIR=settings.src_dir, DST_DIR=settings.dst_dir, CODE_PATH=settings.code_path)
        command = lonely_route.command("status.py", "--html", str(route_folder / "page.html"))
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=lonely_route.bare_environment())
        _, wait_status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(wait_status)
        assert process.returncode == 3  # some of the files are failing
        peaks.append(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    page = tmp_path / "20000" / "page.html"

    assert page.stat().st_size < MOST_PAGE_BYTES
    assert facts_in(page.read_text())["tree"]["files"][0] == 1_000_000
    assert peaks[1] < peaks[0] + 40e6


# ---- the command line --------------------------------------------------------------------------------------------


def test_status_py_writes_it_and_ends_as_the_verdict_says(route: Route) -> None:
    route.write("run42/a.txt", "abc")
    route.deliver_here()
    page = route.folder / "page.html"

    result = route.run("status.py", "--html", str(page))

    assert result.stdout.startswith(f"Wrote {page}. Everything delivered as of ")
    assert page.stat().st_mode & 0o777 == 0o600
    assert facts_in(page.read_text())["tree"]["names"] == ["", "run42"]


def test_a_page_that_is_replaced_keeps_the_permissions_that_its_owner_gave_it(route: Route) -> None:
    page = route.folder / "page.html"
    page.write_text("the last one")
    page.chmod(0o644)

    route.run("status.py", "--html", str(page), status=3)

    assert page.stat().st_mode & 0o777 == 0o644
    assert "the last one" not in page.read_text()
    assert [path.name for path in route.folder.glob(".page*")] == []


def test_without_jinja_one_message_names_what_to_install(lonely_route: Route, tmp_path: Path) -> None:
    package = tmp_path / "without" / "jinja2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not here')\n")
    lonely_route.environment["PYTHONPATH"] = str(package.parent)

    result = lonely_route.run("status.py", "--html", str(tmp_path / "page.html"), status=5)

    assert result.stdout == ""
    assert "pip install '.[report]'" in result.stderr
    assert not (tmp_path / "page.html").exists()
    lonely_route.run("status.py", status=3, says="No run has been recorded yet.")


@pytest.mark.parametrize("words", [["datastore"], ["page.html", "--json"], ["page.html", "--manifest", "x.csv"]])
def test_it_replaces_nothing_that_is_no_page_and_goes_with_nothing_else(lonely_route: Route, words: list[str]) -> None:
    lonely_route.run("status.py", "--html", *words, status=2, says="--html")


def test_where_it_cannot_be_written_is_said(lonely_route: Route, tmp_path: Path) -> None:
    result = lonely_route.run("status.py", "--html", str(tmp_path / "nowhere" / "page.html"), status=5)

    assert "No such file or directory" in result.stderr or "no such file" in result.stderr.lower()

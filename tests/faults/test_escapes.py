"""Control sequences in names and in Globus's words: shown wherever a person may read them, obeyed nowhere."""

from __future__ import annotations

import pytest
from faulty import FaultCheck
from small_globus import SmallGlobus
from suite import Result, Route
from terminal import on_a_terminal

TITLE = "\x1b]0;owned\x07"
# CSI as one character, which JSON leaves as it is; and what tears a line apart.
NAMES = (f"a{TITLE}.dat", "b\x9b2J.dat", "c\nd\r.dat")


@pytest.mark.fault(
    "Globus's words hold control sequences",
    sees="m\\x1b]0;owned\\x07...C\\x1b[2J",
    status=6,
    recorded="nothing",
)
def test_what_a_command_is_given_holds_no_control_sequence(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    given = there.folder / "given"
    there.configure(ON_PROBLEM=["/bin/sh", "-c", f"cat > {given}"])
    there.write("a.dat")
    refusal = {"code": "C\x1b[2J", "message": f"m{TITLE}", "request_id": "r"}
    service.answer = lambda method, path, *_: (403, refusal) if path.endswith("/transfer") else None

    fault.check(there.run("main.py", status=None), there)

    text = given.read_text()
    assert "C\\x1b[2J" in text and "m\\x1b]0;owned\\x07" in text
    assert all(one.isprintable() for one in text.replace("\n", "")), text


@pytest.mark.fault(
    "names that hold control sequences, in a manifest on a terminal",
    sees="a\\x1b]0;owned\\x07.dat...b\\x9b2J.dat...c\\nd\\r.dat",
    status=0,
    recorded="3 paths delivered; 1 task succeeded",
)
def test_a_manifest_on_a_terminal_is_text(there: Route, fault: FaultCheck) -> None:
    for name in NAMES:
        there.write(name)
    there.deliver()

    for kind in ("jsonl", "csv"):
        shown = on_a_terminal(there, "status.py", "--manifest", "-", "--format", kind)
        assert all(one.isprintable() for one in shown.stdout.replace("\n", "")), shown.stdout
        assert len(shown.stdout.splitlines()) >= len(NAMES)
    fault.check(Result(shown.status, shown.stdout, ""), there)

    piped = there.run("status.py", "--manifest", "-").stdout
    assert all(name in piped for name in NAMES[:2])  # as they are, for a program

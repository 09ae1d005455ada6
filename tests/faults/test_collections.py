"""Collections that are missing, away, paused, read-only or not ours: the run says so, and loses nothing."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from faulty import FaultCheck, assert_recovers
from small_globus import Answer, SmallGlobus, refusal
from struck import spare
from suite import DST_ID, SRC_ID, Route

from emulator.http.server import Emulator

UNSENT = "Nothing was sent or recorded."
MISSING_ID = "aaaaaaaa-0000-4000-8000-0000000000ff"
SIDES = (("source", SRC_ID, '"Beamline"'), ("destination", DST_ID, '"Archive"'))
NAMES = {SRC_ID: "Beamline", DST_ID: "Archive"}


def row(name: str, collection_id: str, change: dict[str, Any], *, sees: str, status: int = 6, recorded: str) -> Any:
    """A parameter set with its row."""
    mark = pytest.mark.fault(name, sees=sees, status=status, recorded=recorded)
    return pytest.param(collection_id, change, marks=mark, id=name)


def change_back(globus: Emulator, collection_id: str, change: dict[str, Any]) -> None:
    """Undo a change."""
    usual = {"gcp_connected": True, "gcp_paused": False, "read_only": False, "allowed_identities": None}
    globus.world.change_collection(collection_id, **{name: usual[name] for name in change})


def shows(service: SmallGlobus, collection_id: str, **change: Any) -> None:
    """Have the second service show a collection with these fields, and both with their names."""

    def answer(method: str, path: str, *rest: Any) -> Optional[Answer]:
        shown = path.rpartition("/endpoint/")[2]
        if shown not in NAMES:
            return None
        name = {"display_name": NAMES[shown], "entity_type": "GCP_mapped_collection"}
        usual = service.usual(method, path, *rest)[1]
        return 200, {**usual, **name, "gcp_connected": True, **(change if shown == collection_id else {})}

    service.answer = answer


NOT_READY = pytest.mark.parametrize(
    ("collection_id", "change"),
    [
        *(
            row(
                f"the {side} collection is offline",
                collection_id,
                {"gcp_connected": False},
                sees=f"Collection {name} ... is not connected to Globus. Start Globus Connect Personal on its machine. "
                f"{UNSENT[:-1]}; the next run tries again.",
                recorded="nothing",
            )
            for side, collection_id, name in SIDES
        ),
        *(
            row(
                f"the {side} collection is paused",
                collection_id,
                {"gcp_paused": True},
                sees=f"Collection {name} ... is paused. Unpause Globus Connect Personal on its machine. "
                f"{UNSENT[:-1]}; the next run tries again.",
                recorded="nothing",
            )
            for side, collection_id, name in SIDES
        ),
        *(
            row(
                f"permission denied at the {side} collection",
                collection_id,
                {"allowed_identities": []},
                sees="Globus did not accept task ...: No effective ACL rules on the endpoint ... (HTTP 403, code "
                "PermissionDenied, request_id ...). None of it was transferred or recorded. Ask the "
                "collection's administrator to give the signed-in identity access",
                recorded="nothing",
            )
            for side, collection_id, _ in SIDES
        ),
    ],
)


@NOT_READY
def test_a_collection_that_is_not_ready_is_named_and_the_next_run_delivers(
    route: Route, globus: Emulator, fault: FaultCheck, collection_id: str, change: dict[str, Any]
) -> None:
    route.write("a.dat")
    globus.world.change_collection(collection_id, **change)

    fault.check(route.run("main.py", status=None), route)

    change_back(globus, collection_id, change)
    assert_recovers(route)


@NOT_READY
def test_a_collection_that_is_not_ready_there_is_named_and_the_next_run_delivers(
    there: Route, service: SmallGlobus, fault: FaultCheck, collection_id: str, change: dict[str, Any]
) -> None:
    there.write("a.dat")
    if "allowed_identities" in change:  # observed (api.md: seen in public reports)
        no_rules = f"No effective ACL rules on the endpoint {NAMES[collection_id]} ({collection_id})"
        service.answer = lambda method, path, *rest: (
            refusal(403, "PermissionDenied", no_rules) if path.endswith("/transfer") else None
        )
    else:
        shows(service, collection_id, **change)

    fault.check(there.run_here("main.py", status=None), there)

    spare(service)
    assert_recovers(there, service=service)


@pytest.mark.fault(
    "a collection goes offline just before the submission",
    sees="Globus did not accept task ...: The Globus Connect Personal endpoint 'Beamline (...)' is not currently "
    "connected to Globus (HTTP 409, code GCDisconnectedException, request_id small). None of it was transferred or "
    "recorded. Start Globus Connect Personal on that machine. The next run tries again.",
    status=6,
    recorded="nothing",
)
def test_a_collection_that_goes_offline_before_the_submission(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    """Code and words: observed in public reports."""
    message = f"The Globus Connect Personal endpoint 'Beamline ({SRC_ID})' is not currently connected to Globus"
    service.answer = lambda method, path, *rest: (
        refusal(409, "GCDisconnectedException", message) if path.endswith("/transfer") else None
    )
    there.write("a.dat")

    fault.check(there.run_here("main.py", status=None), there)

    spare(service)
    assert_recovers(there, service=service)


MISSING = pytest.mark.parametrize(
    "setting",
    [
        pytest.param(
            setting,
            id=setting,
            marks=pytest.mark.fault(
                f"the {side} collection does not exist",
                sees=f"Globus did not show the collection {MISSING_ID}: ... (HTTP 404, code EndpointNotFound, "
                f"request_id ...). {UNSENT} Check SRC_ID and DST_ID",
                status=5,
                recorded="nothing",
            ),
        )
        for side, setting in (("source", "SRC_ID"), ("destination", "DST_ID"))
    ],
)


@MISSING
def test_a_collection_that_does_not_exist_is_named(route: Route, fault: FaultCheck, setting: str) -> None:
    right = route.settings[setting]
    route.configure(**{setting: MISSING_ID})
    route.write("a.dat")

    fault.check(route.run("main.py", status=None), route)

    route.configure(**{setting: right})
    assert_recovers(route)


@MISSING
def test_a_collection_that_does_not_exist_there_is_named(
    there: Route, service: SmallGlobus, fault: FaultCheck, setting: str
) -> None:
    """The refusal: as the SDK recorded it (set_subscription_id), with status and code as documented for collections."""
    right = there.settings[setting]
    there.configure(**{setting: MISSING_ID})
    there.write("a.dat")
    service.answer = lambda method, path, *rest: (
        refusal(404, "EndpointNotFound", f"No such endpoint '{MISSING_ID}'") if path.endswith(MISSING_ID) else None
    )

    fault.check(there.run_here("main.py", status=None), there)

    there.configure(**{setting: right})
    assert_recovers(there, service=service)


@pytest.mark.fault(
    "the destination collection is deleted, and Globus remembers it",
    sees=f"Globus did not show the collection {DST_ID}: Endpoint '{DST_ID}' has been deleted (HTTP 404, code "
    f"EndpointDeleted, request_id small). {UNSENT} Check SRC_ID and DST_ID",
    status=5,
    recorded="1 path delivered; 1 task succeeded",
)
def test_a_collection_that_was_deleted_there_is_named(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    """The refusal: from the SDK's tests against the service, 2017."""
    there.write("a.dat")
    there.deliver_here()
    there.write("b.dat")
    deleted = refusal(404, "EndpointDeleted", f"Endpoint '{DST_ID}' has been deleted")
    service.answer = lambda method, path, *rest: deleted if path.endswith(DST_ID) else None

    fault.check(there.run_here("main.py", status=None), there)

    spare(service)
    assert_recovers(there, tasks=2, service=service)


@pytest.mark.fault(
    "the destination collection is deleted between two runs",
    sees=f"Globus did not show the collection {DST_ID}: No such endpoint ... (HTTP 404, code EndpointNotFound, "
    f"request_id ...). {UNSENT} Check SRC_ID and DST_ID",
    status=5,
    recorded="1 path delivered; 1 task succeeded",
)
def test_a_collection_that_is_deleted_is_named(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    route.write("a.dat")
    route.deliver_here()
    route.write("b.dat")
    collection = globus.world.collections.pop(DST_ID)

    fault.check(route.run("main.py", status=None), route)

    globus.world.add_collection(collection)
    assert_recovers(route, tasks=2)


HELD_UP = pytest.mark.parametrize(
    ("collection_id", "change"),
    [
        row(
            "the destination collection is read-only",
            DST_ID,
            {"read_only": True},
            sees="Task ... is stalled: PERMISSION_DENIED ... It carries 1 path; without progress it will be canceled "
            "after 24 hours, and they will be retried.",
            status=3,
            recorded="1 path under way",
        ),
        *(
            row(
                f"the {side} collection goes offline while a task is under way",
                collection_id,
                {"gcp_connected": False},
                sees="Task ... is stalled: GC_NOT_CONNECTED ... It carries 1 path",
                status=3,
                recorded="1 path under way",
            )
            for side, collection_id, _ in SIDES
        ),
        row(
            "the destination collection is paused while a task is under way",
            DST_ID,
            {"gcp_paused": True},
            sees="Task ... is stalled: GC_PAUSED ... It carries 1 path",
            status=3,
            recorded="1 path under way",
        ),
    ],
)


@HELD_UP
def test_a_task_that_its_collection_holds_up_goes_on_when_it_is_back(
    route: Route, globus: Emulator, fault: FaultCheck, collection_id: str, change: dict[str, Any]
) -> None:
    globus.world.set_progress("polls:2")
    route.write("a.dat")
    route.run_here("main.py")
    globus.world.change_collection(collection_id, **change)
    route.run("main.py", status=None)

    fault.check(route.run("main.py", "-v", status=None), route)

    change_back(globus, collection_id, change)
    assert_recovers(route)


@HELD_UP
def test_a_task_that_its_collection_there_holds_up_goes_on_when_it_is_back(
    there: Route, service: SmallGlobus, fault: FaultCheck, collection_id: str, change: dict[str, Any]
) -> None:
    """The codes: from Globus's own list of 2020; that nice_status has them: as for other faults."""
    codes = {"read_only": "PERMISSION_DENIED", "gcp_connected": "GC_NOT_CONNECTED", "gcp_paused": "GC_PAUSED"}
    code = codes[next(iter(change))]
    service.is_held = True
    there.write("a.dat")
    there.run_here("main.py")
    usual = dict(service.newest.document)
    words = code.replace("_", " ").lower()
    service.newest.document.update(nice_status=code, nice_status_short_description=words, is_ok=False, faults=2)

    fault.check(there.run_here("main.py", status=None), there)

    service.newest.document.update(usual)
    service.is_held = False
    assert_recovers(there, service=service)


# ---- folders that cannot be listed -----------------------------------------------------------------------------------


def refusing_to_list(service: SmallGlobus, code: str, message: str) -> None:
    """Refuse every listing. Codes and words: observed in public reports."""
    answer = refusal(502, f"ExternalError.DirListingFailed.{code}", message)
    service.answer = lambda method, path, *rest: answer if path.endswith("/ls") else None


@pytest.mark.fault(
    "test_config.py, while the collections have no account for the identity",
    sees="No account ... code ExternalError.DirListingFailed.LoginFailed, request_id small) ... Open the collection "
    "in the Globus web app once: it may ask for a credential. If not, ask its administrator to map",
    status=6,
    recorded="nothing",
)
def test_a_collection_without_an_account_for_the_identity(
    there: Route, service: SmallGlobus, fault: FaultCheck
) -> None:
    there.write("a.dat")
    refusing_to_list(service, "LoginFailed", "No account")

    fault.check(there.run_here("test_config.py", status=None), there)

    spare(service)
    assert_recovers(there, service=service)


def test_a_folder_that_is_too_large_to_be_listed_is_no_mistake(there: Route, service: SmallGlobus) -> None:
    there.write("scan/a.dat")
    refusing_to_list(service, "SizeLimit", "Directory limit of 100000 reached. Sorry, Globus does not list it")

    there.run_here("test_config.py", says="is too large to be listed, so no names were compared")
    assert_recovers(there, service=service)

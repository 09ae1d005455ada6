"""A route is settled by one service: Globus, or another that a rehearsal has put in its place."""

from __future__ import annotations

import pytest
from faulty import NOTHING, FaultCheck
from small_globus import SmallGlobus
from suite import Route

from autotransfer.datastore.store import SERVICE, Store
from emulator.http.server import Emulator

LEFT_OVER = "GLOBUS_SDK_SERVICE_URL_TRANSFER"
SEES = f"are from the service Globus, and this would ask the service local: {LEFT_OVER} is http://127.0.0.1:"


def recorded_service(route: Route) -> str | None:
    with Store(str(route.code_path / "datastore"), is_read_only=True) as store:
        name: str | None = store.shelf.get(SERVICE)
        return name


def at_globus(route: Route) -> dict[str, str]:
    """Have Globus itself be the route's service, by a run that sends nothing; returns what aims at the local one."""
    local, route.environment = route.environment, {}
    assert route.run("main.py").stderr == ""
    assert recorded_service(route) == "Globus"
    return local


@pytest.mark.fault(
    "the emulator's variables are still set",
    sees=f"{SEES}...Unset {LEFT_OVER}...Nothing was sent or recorded.",
    status=5,
    recorded=NOTHING,
)
def test_a_local_service_never_settles_a_route_of_globus(there: Route, service: SmallGlobus, fault: FaultCheck) -> None:
    there.environment = at_globus(there)
    there.write("a.txt")

    result = there.run("main.py", status=None)

    fault.check(result, there)
    for words in (["now"], ["never"], ["now", "--path", "a.txt"], ["now", "--dry-run"]):
        there.run("set_time.py", *words, status=5, says="are from the service Globus")
    there.run("main.py", "--dry-run", status=5, says="are from the service Globus")
    there.run("test_config.py", "--no-login", status=5, says="are from the service Globus")
    assert (service.tasks, recorded_service(there)) == ({}, "Globus")
    said = there.run("status.py", status=None).stdout
    assert "Service " not in said and f"because {LEFT_OVER} is http://127.0.0.1:" in said
    assert there.run("status.py", "--path", "a.txt", "--json", status=3).json["service"] == "Globus"


@pytest.mark.fault(
    "a rehearsal's datastore without the emulator's variables",
    sees="are from the service local, and this would ask the service Globus...Set the variables of the rehearsal again",
    status=5,
    recorded="1 path delivered; 1 task succeeded",
)
def test_globus_never_goes_on_with_the_records_of_a_rehearsal(there: Route, fault: FaultCheck) -> None:
    there.write("a.txt")
    there.deliver_here()
    local, there.environment = there.environment, {}

    result = there.run("main.py", status=None)

    fault.check(result, there)
    there.run("set_time.py", "now", status=5, says="set_time.py never --service Globus")
    assert "Service: local, not Globus." in there.run("status.py", "--path", "a.txt").stdout
    there.environment = local
    assert there.summary_here()["submitted"] == 0


def test_another_port_and_another_loopback_name_are_the_same_service(there: Route) -> None:
    there.write("a.txt")
    there.deliver_here()
    with SmallGlobus() as other:
        there.environment = {name: url.replace("127.0.0.1", "localhost") for name, url in other.environment().items()}
        there.write("b.txt")
        assert there.deliver_here()["delivered"] == 1


def test_an_owner_who_means_it_moves_a_route_to_another_service(there: Route, service: SmallGlobus) -> None:
    there.write("a.txt")
    there.run("set_time.py", "now", "--service", "Globus", status=2, says="the service here is local")
    there.environment = at_globus_with_records(there)
    there.run("set_time.py", "never", "--service", "local", "--path", "a.txt", status=2)
    there.run("set_time.py", "never", "--service", "local", says="1 will be sent by the next run. Service: local")

    assert there.deliver_here()["delivered"] == 1
    assert recorded_service(there) == "local"


def at_globus_with_records(route: Route) -> dict[str, str]:
    local, route.environment = route.environment, {}
    route.run("set_time.py", "now", says="1 path counts as transferred")
    assert recorded_service(route) == "Globus"
    return local


def test_a_datastore_of_an_earlier_version_takes_the_service_of_its_first_run(there: Route) -> None:
    there.write("a.txt")
    there.deliver_here()
    with Store(str(there.code_path / "datastore")) as store:
        del store.shelf[SERVICE]
        store.commit()

    there.run("main.py", "--dry-run")
    assert recorded_service(there) is None
    assert there.run("main.py", "--json").json["service"] == "local"
    assert recorded_service(there) == "local"


@pytest.mark.fault(
    "only Auth's variable of a rehearsal is still set",
    sees="GLOBUS_SDK_SERVICE_URL_AUTH is http://127.0.0.1:9/, but other requests would go to the service Globus",
    status=5,
    recorded=NOTHING,
)
def test_a_login_for_globus_is_never_sent_to_a_local_program(there: Route, fault: FaultCheck) -> None:
    there.environment = {"GLOBUS_SDK_SERVICE_URL_AUTH": "http://127.0.0.1:9/"}
    there.write("a.txt")

    fault.check(there.run("main.py", status=None), there)

    there.environment = {"GLOBUS_SDK_SERVICE_URL_TIMER": "http://127.0.0.1:9/"}
    there.run("timer.py", "job", "list", status=5, says="GLOBUS_SDK_SERVICE_URL_TIMER is http://127.0.0.1:9/, but")


def test_every_output_names_a_service_that_is_not_globus(there: Route) -> None:
    there.write("a.txt")
    mail = there.folder / "mail"
    there.configure(METRICS_FILE=str(there.folder / "route.prom"), ON_PROBLEM=["/bin/sh", "-c", f"cat > {mail}"])
    name = "Service: local, not Globus."

    there.run("main.py", "-v", "--wait", says=name)
    to_file, printed = ("--manifest", str(there.folder / "m.csv")), ("--manifest", "-", "--format", "csv")
    for words in ("--path", "a.txt"), ("--tasks", "1"), to_file, printed:
        there.run("status.py", *words, says=name)
    assert (there.folder / "m.csv").read_text().splitlines()[1].endswith(",local")
    page = there.folder / "page.html"
    there.run("status.py", "--html", str(page), says=name)

    assert "local, not Globus" in page.read_text()
    assert "local, not Globus" in there.run("status.py").stdout
    assert there.run("status.py", "--json").json["service"] == "local"
    assert 'service="local"} 1' in (there.folder / "route.prom").read_text()
    assert " service=local " in (there.code_path / "log").read_text()
    there.run("test_config.py", "--no-login", status=None, says=name)
    there.run("set_time.py", "now", says=name)
    there.run("timer.py", "job", "list", status=None, says=name)
    there.write("bad\\").rename(there.src / "bad\udcff")
    there.run("main.py", status=3, says=name)
    assert mail.read_text().splitlines()[-1] == name
    there.configure(CLIENT_SECRET_FILE=str(there.folder / "missing"))
    there.write("b.txt")
    there.run("main.py", status=5, says=name)


@pytest.mark.fault(
    "GLOBUS_SDK_ENVIRONMENT names what globus-sdk does not know",
    sees="GLOBUS_SDK_ENVIRONMENT is 'prod', which globus-sdk does not know...Unset it",
    status=5,
    recorded=NOTHING,
)
def test_an_environment_that_nobody_knows_is_never_recorded(there: Route, fault: FaultCheck) -> None:
    there.environment = {"GLOBUS_SDK_ENVIRONMENT": "prod"}
    there.write("a.txt")

    fault.check(there.run("main.py", status=None), there)

    for words in (["now"], ["never", "--service", "prod"]):
        there.run("set_time.py", *words, status=5, says="which globus-sdk does not know")
    assert recorded_service(there) is None
    there.environment = {"GLOBUS_SDK_ENVIRONMENT": ""}  # the SDK takes it for a name
    for words in (["main.py"], ["test_config.py", "--no-login"], ["timer.py", "job", "list"]):
        there.run(*words, status=5, says="GLOBUS_SDK_ENVIRONMENT is '', which globus-sdk does not know")


@pytest.mark.fault(
    "the emulator's variables are of an emulator that has ended, and another one listens there",
    sees="The address of this emulator has a path, as it printed it (HTTP 403",
    status=6,
    recorded=NOTHING,
)
def test_the_address_of_another_emulator_is_refused(route: Route, globus: Emulator, fault: FaultCheck) -> None:
    route.write("a.txt")
    base = globus.url.rstrip("/").rpartition("/")[0]
    route.environment = {name: f"{base}/an-older-secret/" for name in route.environment if "SERVICE_URL" in name}

    fault.check(route.run("main.py", status=None), route)

    assert globus.world.requests == []

"""Where the login may travel: over TLS, to whom a certificate vouches for; and who reaches the emulator."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from suite import ROOT, SRC_ID, Route

from emulator.http.server import Emulator

SCRIPTS = [("main.py",), ("test_config.py", "--no-login"), ("timer.py", "job", "list")]
REFUSED_URLS = [
    *(
        "http://transfer.example.org/",
        "HTTP://transfer.example.org/",
        "ftp://transfer.example.org/",
        "transfer.example.org",
    ),
    *("http://127.0.0.1.example.org/", "http://127.0.0.1@example.org/", "http://localhost:80@example.org/"),
    *("http://example.org\\@127.0.0.1/", "http://example.org#@127.0.0.1/", "http://[::1", " http://127.0.0.1/"),
    *("https://user:password@example.org/", "file:///etc/passwd", "http://0.0.0.0/", "http://127.0.0.1\t.example.org/"),
]


@pytest.mark.parametrize("service", ["AUTH", "TRANSFER", "TIMER"])
@pytest.mark.parametrize("words", SCRIPTS, ids=lambda words: str(words[0]))
def test_every_script_that_uses_the_network_refuses_a_service_without_tls(
    route: Route, globus: Emulator, words: tuple[str, ...], service: str
) -> None:
    route.write("a")
    variable = f"GLOBUS_SDK_SERVICE_URL_{service}"
    route.environment[variable] = "http://globus.example.org/"

    said = route.run(*words, status=5)

    assert (
        f"{variable} is http://globus.example.org/, which would send the login unencrypted" in said.stdout + said.stderr
    )
    assert globus.world.requests == []


def test_only_https_or_loopback_is_taken_for_safe() -> None:
    code = (
        "import os, sys\n"
        "from autotransfer.common.errors import ConfigurationProblem\n"
        "from autotransfer.globus.login import service_time_seconds\n"
        "for url in sys.argv[1:]:\n"
        "    os.environ['GLOBUS_SDK_SERVICE_URL_AUTH'] = url\n"
        "    try:\n        service_time_seconds()\n        print('asked')\n"
        "    except ConfigurationProblem as problem:\n        print(problem)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *REFUSED_URLS], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    assert len(done.stdout.splitlines()) == len(REFUSED_URLS)
    for url, said in zip(REFUSED_URLS, done.stdout.splitlines()):
        assert said.startswith(f"GLOBUS_SDK_SERVICE_URL_AUTH is {url}, which would send the login unencrypted"), said


@pytest.mark.parametrize("value", ["0", "False", "no", "off", "", "/no/such/file", "maybe"])
def test_a_variable_that_turns_certificates_off_is_refused(route: Route, globus: Emulator, value: str) -> None:
    route.write("a")
    route.environment["GLOBUS_SDK_VERIFY_SSL"] = value

    route.run("main.py", status=5, says="would send the login to anyone who answers")

    assert globus.world.requests == []


def test_a_variable_that_names_certificates_or_leaves_them_on_is_no_trouble(route: Route) -> None:
    for value in ("1", "yes", str(route.config)):
        route.write(f"a {len(value)}")
        route.environment["GLOBUS_SDK_VERIFY_SSL"] = value
        assert route.deliver()["delivered"] == 1


def own_addresses() -> list[tuple[socket.AddressFamily, str]]:
    """The addresses of this machine that are not loopback."""
    found = []
    for family, far_away in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((far_away, 9))  # sends nothing: it only chooses the address to send from
            except OSError:
                continue
            found.append((family, probe.getsockname()[0]))
    return [(family, address) for family, address in found if not address.startswith(("127.", "::1"))]


def test_the_emulator_answers_on_loopback_only(globus: Emulator) -> None:
    port = urlsplit(globus.url).port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), timeout=60):
        pass
    addresses = own_addresses()
    if not addresses:
        pytest.skip("this machine has no address beside loopback")
    for family, address in addresses:
        with socket.socket(family, socket.SOCK_STREAM) as stranger, pytest.raises(ConnectionRefusedError):
            stranger.settimeout(5)
            stranger.connect((address, port))


def test_the_emulator_as_a_program_listens_on_loopback_only(tmp_path: Path) -> None:
    code = "import os; print(os.environ['GLOBUS_SDK_SERVICE_URL_AUTH'])"
    listening = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null"
    inside = ["sh", "-c", f'"{sys.executable}" -c "{code}"; {listening}']
    done = subprocess.run(
        [sys.executable, "-m", "emulator", "--collection", f"{SRC_ID}={tmp_path}", "--", *inside],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    url = done.stdout.splitlines()[0]
    port = f":{urlsplit(url).port:04X}"
    listeners = [line.split()[1] for line in done.stdout.splitlines() if " 0A " in line]
    mine = [address for address in listeners if address.endswith(port)]
    if not listeners:
        pytest.skip("this system does not say who listens (/proc/net)")
    assert mine == [f"0100007F{port}"]

"""Which service answers, by the variables that the SDK obeys."""

from __future__ import annotations

import pytest
from globus_sdk.config import EnvConfig, get_service_url

from autotransfer.common.service import (
    AUTH,
    ENVIRONMENTS,
    OWN_HOSTS,
    TIMER,
    TRANSFER,
    URL_VARIABLE,
    address_of,
    difference,
    remark,
    service,
)

URL = URL_VARIABLE + TRANSFER


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "Globus"),
        ({URL: ""}, "Globus"),
        ({"GLOBUS_SDK_ENVIRONMENT": "production"}, "Globus"),
        ({URL: "https://transfer.api.globus.org/"}, "Globus"),
        ({URL: "https://Transfer.API.globus.org.:443"}, "Globus"),
        ({URL_VARIABLE + AUTH: "http://127.0.0.1:1/"}, "Globus"),  # Transfer settles routes
        ({URL: "http://127.0.0.1:8000/"}, "local"),
        ({URL: "http://127.0.0.1:9/v0/"}, "local"),
        ({URL: "https://127.3.2.1"}, "local"),
        ({URL: "http://localhost:1/"}, "local"),
        ({URL: "HTTP://LOCALHOST./"}, "local"),
        ({URL: "http://emulator.localhost/"}, "local"),
        ({URL: "http://[::1]:8000/"}, "local"),
        ({URL: "http://[0:0:0:0:0:0:0:1]/"}, "local"),
        ({URL: "https://127.0.0.1.example.org/"}, "127.0.0.1.example.org"),
        ({URL: "https://localhost@transfer.example.org/"}, "transfer.example.org"),
        ({URL: "https://transfer.api.sandbox.globuscs.info/"}, "transfer.api.sandbox.globuscs.info"),
        ({"GLOBUS_SDK_ENVIRONMENT": "sandbox"}, "sandbox"),
        ({"GLOBUS_SDK_ENVIRONMENT": "preview", URL: "http://127.0.0.1:1/"}, "local"),
    ],
)
def test_a_service_is_known_by_its_host_or_environment(environment: dict[str, str], name: str) -> None:
    found = service(environment)

    assert found.name == name
    assert found.is_globus == (name == "Globus") == (not found.variable) == (not remark(name))
    assert not found.variable or found.cause == f"{found.variable} is {address_of(environment[found.variable])}"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:1234/the-secret/", "http://127.0.0.1:1234/"),
        ("https://user:password@example.org/path@x", "https://example.org/"),
        ("https://example.org?code=secret", "https://example.org/"),
        ("/sign-in", "/sign-in"),
        ("sandbox", "sandbox"),
    ],
)
def test_the_address_of_a_url_holds_no_secret(url: str, address: str) -> None:
    assert address_of(url) == address


def test_the_hosts_of_globus_are_those_of_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (AUTH, TRANSFER, TIMER):
        monkeypatch.delenv(URL_VARIABLE + name, raising=False)

    urls = [get_service_url(name.lower(), "production") for name in (AUTH, TRANSFER, TIMER)]

    assert [url.split("/")[2] for url in urls] == list(OWN_HOSTS)
    assert sorted(ENVIRONMENTS) == sorted(EnvConfig._registry)


@pytest.mark.parametrize(
    ("environment", "is_mixed"),
    [
        ({}, False),
        ({URL_VARIABLE + AUTH: "http://[::1]:1/"}, True),
        ({URL: "http://localhost:1/"}, True),
        ({URL: "http://localhost:1/", URL_VARIABLE + AUTH: "https://127.0.0.1:2/"}, False),
        ({URL: "https://transfer.example.org/"}, False),
        ({URL: "https://transfer.example.org/", URL_VARIABLE + AUTH: "http://127.0.0.1:2/"}, False),
        ({"GLOBUS_SDK_ENVIRONMENT": "sandbox", URL_VARIABLE + AUTH: "http://127.0.0.1:2/"}, True),
    ],
)
def test_a_login_is_never_half_local(environment: dict[str, str], is_mixed: bool) -> None:
    assert (difference(environment, (AUTH, TRANSFER)) is not None) == is_mixed

"""Refuses service URLs that would take the login elsewhere."""

from __future__ import annotations

import os
import re
from typing import Union

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.service import difference, refuse_unknown_environment

Environment = Union["os._Environ[str]", "dict[str, str]"]

# No more than this is accepted, since clients differ in how they read the rest of a URL.
LOCAL = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/[\w./~-]*)?", re.ASCII)
HTTPS = re.compile(r"https://[\w.-]+(:\d+)?(/[\w./~-]*)?", re.ASCII)

# With it the SDK can be made to trust anyone who answers; source: globus_sdk.config, "GLOBUS_SDK_VERIFY_SSL".
VERIFY_VARIABLE = "GLOBUS_SDK_VERIFY_SSL"
TRUSTS = ("y", "yes", "t", "true", "on", "1")


def refuse_unsafe_urls(environment: Environment) -> None:
    """Make sure that the login is sent encrypted or stays on this machine, and only to who can prove who they are.

    Raises:
        ConfigurationProblem: A variable would have it sent otherwise.
    """
    for variable, url in environment.items():
        if not variable.startswith("GLOBUS_SDK_SERVICE_URL_") or not url:
            continue
        if not LOCAL.fullmatch(url) and not HTTPS.fullmatch(url):
            raise ConfigurationProblem(
                f"{variable} is {url}, which would send the login unencrypted, or is not a plain URL",
                remedy="Use https, or unset it to reach Globus itself. Nothing was sent or recorded.",
            )
    trusted = environment.get(VERIFY_VARIABLE, "yes")
    if trusted.lower() not in TRUSTS and not os.path.isfile(trusted):
        raise ConfigurationProblem(
            f"{VERIFY_VARIABLE} is {trusted!r}, which would send the login to anyone who answers",
            remedy="Unset it, or name a file of certificates to trust. Nothing was sent or recorded.",
        )


def refuse_mixed_services(environment: Environment, parts: tuple[str, ...]) -> None:
    """Make sure that these parts of the service (AUTH, TRANSFER, ...) are of one service.

    One variable left over from a rehearsal would have a local program get the real login, or refuse it.

    Raises:
        ConfigurationProblem: They are not.
    """
    refuse_unknown_environment(environment, parts)
    found = difference(environment, parts)
    if found is None:
        return
    local, other = found
    raise ConfigurationProblem(
        f"{local.variable} is {local.value}, but other requests would go to the service {other.name}",
        why="a login is for one service",
        remedy=f"Unset {local.variable}; for a rehearsal set all variables that the emulator prints. Nothing was sent "
        "or recorded.",
    )

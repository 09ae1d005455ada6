"""Which service answers in the place of Globus, by the variables that the SDK obeys. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from autotransfer.common.errors import ConfigurationProblem

GLOBUS_NAME, LOCAL_NAME = "Globus", "local"

# Source: globus_sdk.config.environments, which also says that an empty URL counts as unset, and an empty name does not.
ENVIRONMENT_VARIABLE = "GLOBUS_SDK_ENVIRONMENT"
URL_VARIABLE = "GLOBUS_SDK_SERVICE_URL_"
PRODUCTION = "production"
ENVIRONMENTS = (PRODUCTION, "preview", "sandbox", "integration", "test", "staging")
AUTH, TRANSFER, TIMER = "AUTH", "TRANSFER", "TIMER"
OWN_HOSTS = ("auth.globus.org", "transfer.api.globus.org", "timer.automate.globus.org")

HOST = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)", re.IGNORECASE)
LOOPBACK = re.compile(
    r"(.+\.)?localhost|localhost\.localdomain|ip6-localhost|127(\.\d+){1,3}|\[(::1|::ffff:127(\.\d+){3}|(0+:){7}0*1)\]"
)


class Service(NamedTuple):
    """A service that serves routes.

    Args:
        name: GLOBUS_NAME, LOCAL_NAME for any loopback address, else the SDK's environment or the host.
        variable, value: What makes it so in this process; "" for Globus itself. A URL is cut to its address.
    """

    name: str
    variable: str = ""
    value: str = ""

    @property
    def is_globus(self) -> bool:
        """Whether it is Globus's own."""
        return self.name == GLOBUS_NAME

    @property
    def cause(self) -> str:
        """What makes it so, in a clause."""
        if self.variable:
            return f"{self.variable} is {self.value}"
        return f"no variable {URL_VARIABLE}... names another"


GLOBUS = Service(GLOBUS_NAME)


def remark(name: str) -> str:
    """The sentence that every output has where it is not Globus's own service; else ""."""
    return "" if name == GLOBUS_NAME else f"Service: {name}, not Globus."


def address_of(url: str) -> str:
    """The URL without what may be secret: the path, as in the emulator's, and a name and password."""
    scheme, has_host, rest = url.partition("://")
    return f"{scheme}://{re.split('[/?#]', rest)[0].rpartition('@')[2]}/" if has_host else url


def service(environment: Mapping[str, str], part: str = TRANSFER) -> Service:
    """The service that the SDK will ask.

    Args:
        environment: The process's variables.
        part: The part of Globus that is meant; Transfer serves routes.
    """
    variable = URL_VARIABLE + part
    url = environment.get(variable, "")
    if url:
        found = HOST.match(url)
        host = (found.group(1) if found else url).lower().rstrip(".")
        if LOOPBACK.fullmatch(host):
            return Service(LOCAL_NAME, variable, address_of(url))
        return GLOBUS if host in OWN_HOSTS else Service(host, variable, address_of(url))
    name = environment.get(ENVIRONMENT_VARIABLE) or PRODUCTION
    return GLOBUS if name == PRODUCTION else Service(name, ENVIRONMENT_VARIABLE, name)


def refuse_unknown_environment(environment: Mapping[str, str], parts: tuple[str, ...] = (TRANSFER,)) -> None:
    """Make sure that the SDK can find these parts of Globus.

    Raises:
        ConfigurationProblem: It does not know the environment that is named, and needs it.
    """
    name = environment.get(ENVIRONMENT_VARIABLE, PRODUCTION)
    if name not in ENVIRONMENTS and not all(environment.get(URL_VARIABLE + part) for part in parts):
        raise ConfigurationProblem(
            f"{ENVIRONMENT_VARIABLE} is {name!r}, which globus-sdk does not know",
            why=f"it knows {', '.join(ENVIRONMENTS)}",
            remedy="Unset it to reach Globus itself. Nothing was sent or recorded.",
        )


def difference(environment: Mapping[str, str], parts: tuple[str, ...]) -> tuple[Service, Service] | None:
    """A local part and one that is of Globus; None where these parts do not meet.

    Args:
        parts: Those that one login serves.
    """
    found = [service(environment, part) for part in parts]
    local = [one for one in found if one.name == LOCAL_NAME]
    others = [one for one in found if one.is_globus or one.variable == ENVIRONMENT_VARIABLE]
    return (local[0], others[0]) if local and others else None

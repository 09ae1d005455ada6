"""The files that hold a route's settings: config.py with the owner's config_local.py, or a complete file of its own."""

from __future__ import annotations

import os
import traceback
from typing import Any

from autotransfer.common.errors import ConfigurationProblem, reason
from autotransfer.common.service import GLOBUS, Service
from autotransfer.common.settings import Settings, check_settings

SHIPPED = "config.py"
LOCAL = "config_local.py"
# `git checkout config.py` alone refuses in the middle of a merge.
RESTORE = "git checkout HEAD -- config.py"


def load(path: str, *, local_path: str = "", service: Service = GLOBUS) -> Settings:
    """The settings of a route.

    Args:
        path: A complete file of settings, or the config.py of a checkout.
        local_path: With the latter, where the owner's own settings belong. Each that stands there wins; the file may be
            missing.
        service: What the environment names in the place of Globus.

    Raises:
        ConfigurationProblem: A file cannot be read or run, or settings are wrong; all of them at once.
    """
    # A link that leads nowhere may be a disk that is not mounted: that is an error, not a missing file.
    has_local = bool(local_path) and os.path.lexists(local_path)
    return check_settings(
        _run(path, is_shipped=bool(local_path)),
        config_file=path,
        local_values=_run(local_path) if has_local else None,
        local_file=local_path,
        service=service,
    )


def _run(path: str, *, is_shipped: bool = False) -> dict[str, Any]:
    """The names that a file defines.

    The file is Python by design: it is the owner's own, and is run as such. It is compiled anew each time, because a
    cached copy can miss an edit made within the same second.
    """
    remedy = (
        f"Correct it; or move your own settings to {LOCAL} beside it and restore it with `{RESTORE}`."
        if is_shipped
        else "Correct it."
    )
    values: dict[str, Any] = {"__file__": path, "__name__": "config"}
    try:
        with open(path, "rb") as source:
            exec(compile(source.read(), path, "exec"), values)  # noqa: S102
    except OSError as error:
        missing = f"Restore it with `{RESTORE}`." if is_shipped else "Give this user read permission on it."
        if isinstance(error, FileNotFoundError) and not is_shipped:
            missing = f"Copy {LOCAL} there and change the copy, or name another file with --config."
        raise ConfigurationProblem(f"Cannot read the configuration {path}", why=reason(error), remedy=missing) from None
    except SyntaxError as error:
        raise ConfigurationProblem(
            f"The configuration {path} is not Python in line {error.lineno}", why=str(error.msg), remedy=remedy
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the owner's file raises
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        where = f" in line {lines[-1]}" if lines else ""
        raise ConfigurationProblem(
            f"The configuration {path} fails{where}", why=f"{type(error).__name__}: {error}", remedy=remedy
        ) from None
    return values

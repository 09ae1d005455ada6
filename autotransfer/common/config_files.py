"""The files that hold a route's settings: config.py with the owner's config_local.py, or a complete file of its own."""

from __future__ import annotations

import os
import re
import traceback
from typing import Any

from autotransfer.common.errors import ConfigurationProblem, reason
from autotransfer.common.files import NOTHING
from autotransfer.common.service import GLOBUS, Service
from autotransfer.common.settings import NAMES, SECRET, TABLE, Settings, check_settings

SHIPPED = "config.py"
LOCAL = "config_local.py"
# `git checkout config.py` alone refuses in the middle of a merge.
RESTORE = "git checkout HEAD -- config.py"
LONGEST_SHOWN = 120


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
    values: dict[str, Any] = {"__file__": path, "__name__": "config"}
    try:
        with open(path, "rb") as source:
            text = source.read()
    except OSError as error:
        remedy = _how_to_read(path, error, is_shipped=is_shipped)
        raise ConfigurationProblem(
            f"Cannot read the configuration {path}", why=reason(error), remedy=f"{remedy} {NOTHING}"
        ) from None
    try:
        exec(compile(text, path, "exec"), values)  # noqa: S102
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the owner's file raises
        if isinstance(error, SyntaxError) and error.filename == path:
            what, number, why = "is not Python", error.lineno, str(error.msg)
        else:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
            what, number, why = "fails", lines[-1] if lines else None, f"{type(error).__name__}: {error}"
        is_a_word = isinstance(error, (SyntaxError, NameError)) and not isinstance(error, IndentationError)
        raise _wrong(path, text, what, number, why, is_a_word=is_a_word, is_shipped=is_shipped) from None
    for number, line in enumerate(_lines(text), 1):
        name = line.partition(":")[0].strip()  # in YAML this sets something, in Python it does not
        if ":" in line and name in NAMES and not values.get(name) and "=" not in line:
            raise _wrong(path, text, "sets nothing", number, "a setting is written with =", is_shipped=is_shipped)
    return values


def _how_to_read(path: str, error: OSError, *, is_shipped: bool) -> str:
    if isinstance(error, PermissionError):
        return "Give this user read permission on it and on the folders above it."
    if isinstance(error, FileNotFoundError) and os.path.islink(path):
        return "It is a link that leads nowhere: mount the disk that it leads to, or correct the link."
    if is_shipped:
        return f"Restore it with `{RESTORE}`."
    if isinstance(error, FileNotFoundError):
        return f"Copy {LOCAL} there and change the copy, or name another file with --config."
    return "Name the file of the settings with --config."


def _lines(text: bytes) -> list[str]:
    return text.decode("utf-8", "replace").splitlines()


def _wrong(
    path: str,
    text: bytes,
    what: str,
    number: int | None,
    why: str,
    *,
    is_a_word: bool = True,
    is_shipped: bool,
) -> ConfigurationProblem:
    """The problem with one line of a file, with the line itself and how it is written.

    Args:
        number: Of the line, from 1; None or 0 if that is not known.
        is_a_word: Whether the way in which the value is written may be wrong.
    """
    line = "".join(_lines(text)[number - 1 : number]).strip() if number else ""
    shown = "" if not line or _holds_secret(line) else f"The line is `{line[:LONGEST_SHOWN]}`. "
    moved = f", or move your own settings to {LOCAL} beside it and restore it with `{RESTORE}`" if is_shipped else ""
    return ConfigurationProblem(
        f"The configuration {path} {what}{f' in line {number}' if number else ''}",
        why=why,
        remedy=f"{shown}{_as_written(line) if is_a_word else 'Correct it'}{moved}. {NOTHING}",
    )


def _holds_secret(line: str) -> bool:
    return any(name in line for name in SECRET) or "://" in line


def _as_written(line: str) -> str:
    """How the setting in a line is written, with the value that seems to be meant."""
    general = 'Text stands in quotes, a list in brackets: SRC_DIR = "/data/run7", EXCLUDE = ["*.tmp", "scratch"]'
    name = "".join(re.findall(r"^(\w+)\s*[=:]", line))
    row = next((row for row in TABLE if row.name == name), None)
    word = re.sub(r"^\w+\s*[=:]+|\s#.*", "", line).strip(" \t'\"\u201c\u201d\u2018\u2019;,[]")
    if row is None or not word or _holds_secret(line) or re.search("[\"'(+]", word):
        return general
    if isinstance(row.default, bool):
        value = f"{row.name} = True` or `{row.name} = False"
    elif isinstance(row.default, (int, float)):
        value = f"{row.name} = {''.join(re.findall('^[0-9.]+', word)) or row.default}"
    else:
        word = "" if word.lower() in ("none", "null") else word
        value = f'{row.name} = ["{word}"]' if isinstance(row.default, list) else f'{row.name} = "{word}"'
    return f"Write `{value}`" if value != line else f"A quote or bracket above that line does not end. {general}"

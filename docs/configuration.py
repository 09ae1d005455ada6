"""Writes docs/configuration.md from the table of settings and the comments of config.py.

What a setting takes is what its check says; what it means is the comment in config.py. Only what neither has room for
stands in NOTES.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from autotransfer.common.settings import TABLE, Setting  # noqa: E402

PAGE = ROOT / "docs/configuration.md"
INTRODUCTION = """\
# Configuration

Written by `python docs/configuration.py` from the settings themselves; edits are lost.

The settings of a route are in `config.py`, or in the file named with `--config`. It is a Python file: text stands in
quotes, yes and no are `True` and `False`, lists stand in `[]`. The first six must be filled in; a setting that is left
out has its default. A name in capitals that is no setting is refused, with the one that may have been meant. Every
script reports all mistakes at once, before it does anything; `test_config.py` also tries whether the settings work.

Whoever can write the file can run programs as the user of the crontab: keep it that user's own."""

NOTES = {
    "DST_DIR": (
        "Globus transfers only the contents of `SRC_DIR`, not the enclosing directory itself: for a copy of "
        "`/data/run7` in `/archive/run7`, write `/archive/run7`. It is made if it is missing."
    ),
    "SRC_ID": "The collection's page in the [Globus web app](https://app.globus.org/collections) shows it.",
    "DST_ID": "The collection's page in the [Globus web app](https://app.globus.org/collections) shows it.",
    "CLIENT_ID": "How to get one stands in the [README](../README.md#requirements).",
    "CODE_PATH": (
        "It must not lie inside `SRC_DIR`, and each route needs one of its own. What is kept there: "
        "[Output](output.md#the-files-in-code_path)."
    ),
    "SRC_PATH": "Where a guest collection shares `/data`, then `/data/run7` is `/run7` there. Empty: as `SRC_DIR`.",
    "CLIENT_SECRET_FILE": (
        "Only the user of the crontab may be able to read it. See [service accounts](operating.md#service-accounts)."
    ),
    "EXCLUDE": (
        "A pattern is compared with the name of each file and folder, at any depth, never with paths. `*` stands "
        "for any characters, `?` for one, `[0-9]` for one of these. An excluded folder is left out with all in "
        "it. What is excluded keeps its record: it is not sent again when the pattern goes."
    ),
    "SETTLE_SECONDS": (
        "Set it above the longest pause of what writes the files. A file that was sent half-written is sent again "
        "when it has changed. Below 3, see [coarse timestamps](limits.md#what-is-not-noticed)."
    ),
    "SYMLINKS": "Links to folders are never followed.",
    "SYNC_LEVEL": (
        '`"exists"`: the copy is missing; `"size"`: it has another size; `"mtime"`: another size, or the source '
        'is newer; `"checksum"`: another content. A change that the level could miss goes by checksum all '
        "the same ([how it works](how-it-works.md#how-globus-decides-what-to-copy))."
    ),
    "PRESERVE_TIMESTAMP": "`False`: every modified file goes by checksum, since copies then have the time of arrival.",
    "SKIP_SOURCE_ERRORS": "`False`: such a file holds up its whole task.",
    "FAIL_ON_QUOTA_ERRORS": "What had arrived counts as delivered; the rest is sent again, with growing pauses.",
    "STUCK_HOURS": "A task that merely waits in Globus's queue, or that an administrator has paused, is left alone.",
    "LABEL": "After it come a number, the time in UTC and the first letters of the submission ID.",
    "MAX_ITEMS_PER_TASK": "When Globus finds a request too large it is halved by itself, and the limit remembered.",
    "MAX_TASKS_IN_FLIGHT": "Globus lets an account have 100 pending tasks.",
    "SCAN": (
        "For instruments that write each file once. A file that is rewritten in place is found by the next full scan."
    ),
    "SCAN_EXECUTOR": (
        "Dask needs the extra `[dask]`, and workers that have this checkout in `PYTHONPATH` and `SRC_DIR` "
        "mounted. When they cannot help, this machine scans alone and says so."
    ),
}


class Described(NamedTuple):
    """A setting, with what config.py says above it and the heading that it stands under there."""

    setting: Setting
    comment: str
    group: str


def page() -> str:
    """The whole page."""
    parts, group = [INTRODUCTION], ""
    for each in described():
        if each.group != group:
            group = each.group
            parts.append(f"## {group[:1].upper()}{group[1:]}")
        parts.append(_section(each))
    return "\n\n".join(parts) + "\n"


def described() -> Iterator[Described]:
    """Every setting in the order of config.py."""
    settings = {setting.name: setting for setting in TABLE}
    group = comment = ""
    for line in (ROOT / "config.py").read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"# -+ (.+?) -+", line):
            group = found[1]
        elif line.startswith("# "):
            comment = line[2:]
        elif found := re.match(r"([A-Z_]+) = ", line):
            yield Described(settings[found[1]], comment, group)


def _section(each: Described) -> str:
    name, default, _ = each.setting
    value = "required" if default is None else f"default `{default!r}`".replace("'", '"')
    lines = [f"### {name}", _as_markdown(each.comment), f"*{_taken(each.setting)}; {value}*"]
    if name in NOTES:
        lines.append(textwrap.fill(NOTES[name], 120, break_long_words=False, break_on_hyphens=False))
    return "\n\n".join(lines)


def _taken(setting: Setting) -> str:
    """What a setting takes, in the words in which its check refuses what it does not take."""
    is_list = isinstance(setting.default, list)
    refusal = setting.check(None) or ""
    taken = refusal.removeprefix("must be ").replace(" False", " `False`").replace("True ", "`True` ")
    quoted = re.sub(r"'([^']*)'", lambda found: f'`"{found[1]}"`', taken)
    if is_list:
        quoted = re.sub(r"\[[^\]]+\]", lambda found: "`" + found[0].replace("`", "") + "`", quoted)
    may_be_empty = setting.default == "" and not setting.check("") and '`""`' not in quoted
    return quoted[:1].upper() + quoted[1:] + (", or empty" if may_be_empty else "")


def _as_markdown(comment: str) -> str:
    """A comment of config.py, with values and names of settings as code."""
    if "`" in comment:
        return comment
    return re.sub(r'(\[".*"\]|"[^"]*"|\b[A-Z]+_[A-Z_]+\b)', r"`\1`", comment)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

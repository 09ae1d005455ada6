"""Writes config.py and docs/configuration.md from the table of settings in autotransfer/common/settings.py.

What a setting takes is what its check says. What its one line of meaning has no room for stands in NOTES.
"""

from __future__ import annotations

import itertools
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from autotransfer.common.settings import TABLE, Setting  # noqa: E402

CONFIG = '''\
"""All settings with their defaults. Set yours in config_local.py beside this file, which `git pull` never changes.

A line there, such as SRC_DIR = "/data/run7", wins over the line of the same name here. The first six are required.
`python test_config.py` checks them all; docs/configuration.md says more about each.
"""'''
INTRODUCTION = """\
# Configuration

`python docs/configuration.py` writes this page and `config.py` from the settings themselves; edits are lost.

`config.py` holds every setting with its default, and belongs to the tool: an upgrade may change it. Your own settings
go into `config_local.py` beside it, a file that you make and that an upgrade never touches. A setting there wins over
the one in `config.py`; what you do not set keeps its default. The first six are required:

```python
SRC_DIR = "/data/run7"
DST_DIR = "/archive/run7"
SRC_ID = "ddb59aef-6d04-11e5-ba46-22000b92c6ec"
DST_ID = "ddb59af0-6d04-11e5-ba46-22000b92c6ec"
CLIENT_ID = "aee3cda4-9b1c-4a5f-8c3e-3f5d0c1b2a77"
CODE_PATH = "/opt/transfer"
```

For another route, name a file with `--config`. It holds all settings of that route that differ from the defaults below;
neither `config.py` nor `config_local.py` counts for it.

All of these are Python files: text stands in quotes, yes and no are `True` and `False`, lists stand in `[]`. A name in
capitals that is not a setting is refused, with the one that may have been meant. Every script reports all mistakes at
once, with the file they are in, before it does anything; `test_config.py` also tries whether the settings work.

Whoever can write these files can run programs as the user of the crontab: keep them that user's own."""

NOTES = {
    "DST_DIR": (
        "Globus transfers only the contents of `SRC_DIR`, not the enclosing directory itself: for a copy of "
        "`/data/run7` in `/archive/run7`, write `/archive/run7`. It is created if it is missing."
    ),
    "SRC_ID": "The collection's page in the [Globus web app](https://app.globus.org/collections) shows it.",
    "DST_ID": "The collection's page in the [Globus web app](https://app.globus.org/collections) shows it.",
    "CLIENT_ID": "The [README](../README.md#requirements) says how to get one.",
    "CODE_PATH": (
        "It must not lie inside `SRC_DIR`, under whatever name, and each route needs one of its own. What "
        "is kept there: [Output](output.md#the-files-in-code_path)."
    ),
    "SRC_PATH": "If a guest collection shares `/data`, then `/data/run7` is `/run7` there. Empty: as `SRC_DIR`.",
    "CLIENT_SECRET_FILE": (
        "Keep it readable for the user of the crontab alone: `test_config.py` reports one that others can read, but "
        "runs use it all the same. See [service accounts](operating.md#service-accounts)."
    ),
    "EXCLUDE": (
        "A pattern is compared with the name of each file and folder, at any depth, never with paths. `*` stands "
        "for any characters, `?` for one, `[0-9]` for one of these. An excluded folder is skipped with everything "
        "in it. What is excluded keeps its record: it is not sent again when the pattern is removed."
    ),
    "COMPARE": (
        "A rewrite that puts the time back, or another file of the same size and time renamed over this one, shows "
        "only in the ctime. What else moves it: `chmod`, `chown`, an added or removed hard link, a restore. All files "
        "whose ctime moved are compared by checksum, so both ends read them; what is equal is not copied. A `chown -R` "
        "of `SRC_DIR` therefore has all of it read. What was sent by a version before this setting has no ctime "
        "recorded; it counts as unchanged until it is sent again."
    ),
    "SETTLE_SECONDS": (
        "Set it above the longest pause of the program that writes the files. A file that was sent half-written is "
        "sent again once it has changed. Below 3, see [coarse timestamps](limits.md#what-is-not-noticed)."
    ),
    "SYMLINKS": (
        "Links to folders are never followed. Once links are ignored again, their records are dropped: followed a "
        "second time, they are compared by checksum."
    ),
    "SYNC_LEVEL": (
        '`"exists"`: the copy is missing; `"size"`: it has another size; `"mtime"`: another size, or the source '
        'is newer; `"checksum"`: another content. A change that the level could miss goes by checksum all '
        "the same ([how it works](how-it-works.md#how-globus-decides-what-to-copy))."
    ),
    "PRESERVE_TIMESTAMP": "`False`: every modified file is compared by checksum: copies have the time of arrival.",
    "SKIP_SOURCE_ERRORS": "`False`: such a file holds up its whole task.",
    "FAIL_ON_QUOTA_ERRORS": "What had arrived counts as delivered; the rest is retried at growing intervals.",
    "STUCK_HOURS": "A task that merely waits in Globus's queue, or that an administrator paused, is left alone.",
    "LABEL": "After it come a number, the time in UTC and the first letters of the submission ID.",
    "MAX_ITEMS_PER_TASK": "A request that Globus finds too large is split automatically, and the limit is remembered.",
    "MAX_TASKS_IN_FLIGHT": "Globus lets an account have 100 pending tasks.",
    "SCAN": (
        "For instruments that write each file once. A file that is rewritten in place is found by the next full scan."
    ),
    "SCAN_EXECUTOR": (
        "Dask needs the extra `[dask]`, and workers that have this checkout in `PYTHONPATH` and `SRC_DIR` "
        "mounted. When they cannot be used, this machine scans alone and says so. It pays with several machines on "
        "a slow file system; the [benchmarks](benchmarks.md) compare two workers with none."
    ),
}


def page() -> str:
    """The whole of docs/configuration.md."""
    parts = [INTRODUCTION]
    for group, rows in itertools.groupby(TABLE, key=lambda row: row.group):
        parts += [f"## {group[:1].upper()}{group[1:]}", *map(_section, rows)]
    return "\n\n".join(parts) + "\n"


def config() -> str:
    """The whole of config.py."""
    parts = [CONFIG]
    for group, rows in itertools.groupby(TABLE, key=lambda row: row.group):
        parts.append(f"# ---- {group} ".ljust(120, "-"))
        parts += [f"# {row.meaning}\n{row.name} = {_as_python(row.default)}" for row in rows]
    return "\n\n".join(parts) + "\n"


def _as_python(default: Any) -> str:
    return '""' if default is None else repr(default).replace("'", '"')


def _section(row: Setting) -> str:
    value = "required" if row.default is None else f"default `{_as_python(row.default)}`"
    lines = [f"### {row.name}", _as_markdown(row.meaning), f"*{_taken(row)}; {value}*"]
    if row.name in NOTES:
        lines.append(textwrap.fill(NOTES[row.name], 120, break_long_words=False, break_on_hyphens=False))
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
    """A line of meaning with values and names of settings as code."""
    if "`" in comment:
        return comment
    return re.sub(r'(\[".*"\]|"[^"]*"|\b[A-Z]+_[A-Z_]+\b)', r"`\1`", comment)


if __name__ == "__main__":
    (ROOT / "docs/configuration.md").write_text(page(), encoding="utf-8")
    (ROOT / "config.py").write_text(config(), encoding="utf-8")

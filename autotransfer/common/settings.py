"""The settings of a route: one table, which is the type `Settings` itself, and the check of what an owner wrote.

A field of `Settings` is the whole of a setting: its type, default, check and meaning. docs/configuration.py writes
config.py and docs/configuration.md from them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from autotransfer.common import setting_checks as checks
from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.paths import shell_word
from autotransfer.common.service import GLOBUS, Service
from autotransfer.common.times import interval_seconds

SYNC_LEVELS = ("exists", "size", "mtime", "checksum")
SECRET = ("PING_URL",)

# What of ours may not lie in SRC_DIR, and what would come of it.
OWN_PLACES = {
    "CODE_PATH": "the login and the datastore would be sent too",
    "METRICS_FILE": "each run would find it changed",
    "REPORT_FILE": "every new page would be sent too",
    "CLIENT_SECRET_FILE": "the secret would be sent too",
}

# What may be enough to delete an original by, beside proof: weaker evidence, and what is never sent. "touched" is a
# delivered path whose ctime alone has changed since: its contents may have, with the times put back.
ACCEPTABLE = ("transferred", "counted", "found", "assumed", "touched", "skipped", "symlinks", "special_files")


class Setting(NamedTuple):
    """One setting.

    Args:
        default: What it is when nobody sets it; None: it is required.
        check: Returns why a value is refused, or None.
        meaning: The line of comment above it in config.py.
        group: The heading in config.py that it and those below it stand under.
        name: Its name there: the field's, in capitals.
    """

    default: Any
    check: checks.Check
    meaning: str
    group: str = ""
    name: str = ""


def setting(default: Any, check: checks.Check, meaning: str, group: str = "") -> Any:
    """A row of the table; Any, since it stands in the place of a value."""
    return Setting(default, check, meaning, group)


class Settings(NamedTuple):
    """The settings of one route, every value checked. This is the table of settings: a new one is added here.

    Args:
        config_file: The file that they were read from; it also stands for the route in messages and metrics.
        local_file: config_local.py beside it, which wins; empty where config_file is complete by itself.
        edited: The settings that were changed in config.py itself, although local_file is the place for them.
        service: Globus, or what the environment names in its place.
    """

    config_file: str
    local_file: str
    edited: tuple[str, ...]
    service: Service
    src_dir: str = setting(
        None, checks.absolute, "The source directory, as an absolute path on this machine.", "required"
    )
    dst_dir: str = setting(
        None,
        checks.absolute,
        "The destination: an absolute path on its collection, ending in the name of SRC_DIR itself.",
    )
    src_id: str = setting(None, checks.uuid, "The UUID of the collection that SRC_DIR is on.")
    dst_id: str = setting(None, checks.uuid, "The UUID of the destination collection.")
    client_id: str = setting(
        None, checks.uuid, "The UUID of your Globus application (https://app.globus.org/settings/developers)."
    )
    code_path: str = setting(
        None,
        checks.absolute,
        "The absolute path of a folder for the datastore, the log and the login (this folder will do).",
    )
    src_path: str = setting(
        "",
        checks.optional_path,
        "SRC_DIR as the source collection shows it, where that differs (guest collections, Globus Connect Personal).",
        "where things are",
    )
    client_secret_file: str = setting(
        "",
        checks.optional_path,
        "A file that holds the secret of a service account's CLIENT_ID; empty: a person signs in.",
    )
    exclude: tuple[str, ...] = setting(
        [],
        checks.patterns,
        'Names of files and folders to skip, as patterns: ["*.tmp", ".DS_Store", "scratch_[0-9]"].',
        "what is sent",
    )
    compare: str = setting(
        "mtime",
        checks.one_of("mtime", "ctime"),
        'What shows a modification: "mtime" (and size); "ctime": also a ctime that moved, as when times are put back.',
    )
    settle_seconds: float = setting(
        10, checks.number(0, 86400), "How many seconds a file must have been unchanged before it is sent."
    )
    symlinks: str = setting(
        "ignore",
        checks.one_of("ignore", "follow"),
        '"ignore": symlinks are skipped; "follow": links to files are sent as the files they point to.',
    )
    sync_level: str = setting(
        "mtime",
        checks.one_of(*SYNC_LEVELS),
        'What makes Globus copy an ordinary change: "exists", "size", "mtime" or "checksum".',
        "how it is sent",
    )
    preserve_timestamp: bool = setting(True, checks.yes_no, "Give the copies the modification times of their sources.")
    verify_checksum: bool = setting(True, checks.yes_no, "Read every copy back and compare checksums.")
    encrypt_data: bool = setting(True, checks.yes_no, "Encrypt the data in transit.")
    skip_source_errors: bool = setting(
        True,
        checks.yes_no,
        "Let a task go on past files that are missing or unreadable at the source; they are reported and retried.",
    )
    fail_on_quota_errors: bool = setting(
        False,
        checks.yes_no,
        "Let a task fail at once when the destination's quota is full, instead of retrying until its deadline.",
    )
    notify: tuple[str, ...] = setting(
        [],
        checks.some_of("succeeded", "failed", "inactive"),
        'The tasks that Globus e-mails you about: any of "succeeded", "failed", "inactive".',
    )
    deadline_hours: float = setting(
        0,
        checks.number(0, 24 * 365),
        "Hours after which Globus cancels a task; 0: its own rule (one to three days without progress).",
    )
    stuck_hours: float = setting(
        24,
        checks.number(0.1, 24 * 90),
        "Hours after which a task that has faults and no progress, or is not shown, is canceled and its files retried.",
    )
    label: str = setting("", checks.label, "The first words of every task's label; empty: the last folder of SRC_DIR.")
    max_items_per_task: int = setting(10_000, checks.whole(1, 1_000_000), "The most items in one task.")
    max_tasks_in_flight: int = setting(
        20, checks.whole(1, 100), "The most tasks open at a time; further changes wait for the next run."
    )
    accept: tuple[str, ...] = setting(
        [],
        checks.some_of(*ACCEPTABLE),
        "What is enough for `status.py --path` to end with 0, beside what is verified or equal.",
        "what counts",
    )
    scan: str = setting(
        "full",
        checks.one_of("full", "quick"),
        '"full": check every file; "quick": skip unchanged folders, which misses files rewritten in place.',
        "the scan",
    )
    full_scan_every: int = setting(
        "1d", checks.interval, "How often a quick scan is made full: 12h, 1d, 1w. `main.py --full` does it at once."
    )
    scan_workers: int = setting(
        0,
        checks.whole(0, 256),
        "How many processes scan a large tree; 0: one per processor (two where calls are slow), up to 8.",
    )
    scan_executor: str = setting(
        "", checks.executor, 'Where else to scan: "dask:ADDRESS" of a Dask scheduler; "": on this machine.'
    )
    log_level: str = setting(
        "INFO", checks.one_of("DEBUG", "INFO", "WARNING", "ERROR"), '"DEBUG", "INFO", "WARNING" or "ERROR".', "the log"
    )
    log_max_bytes: int = setting(
        10_000_000,
        checks.whole(10_000, 10_000_000_000),
        "The size at which the log is renamed to log.1 and begun anew.",
    )
    remind_hours: float = setting(
        168,
        checks.number(0, 24 * 365),
        "Hours after which a problem that lasts is reported again; 0: with every run.",
        "monitoring",
    )
    metrics_file: str = setting(
        "",
        checks.metrics_file,
        'A file of metrics for Prometheus, in the folder of node_exporter\'s textfile collector; it ends in ".prom".',
    )
    ping_url: str = setting(
        "",
        checks.ping_url,
        "The URL of a check at healthchecks.io or the like, which notices when runs stop; keep it secret.",
    )
    on_problem: tuple[str, ...] = setting(
        [],
        checks.command,
        'A command that gets each new problem on its standard input: ["/usr/bin/logger", "-t", "transfer"].',
    )
    report_file: str = setting(
        "",
        checks.page,
        "A page for a browser that each run renews: an absolute path that ends in .html (extra [report]); empty: none.",
    )

    @property
    def route(self) -> dict[str, str]:
        """What the datastore's records are about: from where to where."""
        return {"SRC_ID": self.src_id, "SRC_DIR": self.src_dir, "DST_ID": self.dst_id, "DST_DIR": self.dst_dir}

    def set_time_command(self, rel_path: str, moment: str = "never") -> str:
        """The command that has a path sent again, or counted as delivered (`now`); it works in any folder."""
        route = "" if self.local_file else f" --config={shell_word(self.config_file)}"
        return f"set_time.py {moment} --path={shell_word(os.path.join(self.src_dir, rel_path))}{route}"

    def state_file(self, name: str) -> str:
        """The path of one of our own files in CODE_PATH."""
        return os.path.join(self.code_path, name)


def _rows() -> tuple[Setting, ...]:
    rows: list[Setting] = []
    for field, setting in Settings._field_defaults.items():
        rows.append(setting._replace(name=field.upper(), group=setting.group or rows[-1].group))
    return tuple(rows)


TABLE = _rows()
NAMES = tuple(row.name for row in TABLE)
REQUIRED = tuple(row.name for row in TABLE if row.default is None)


class _Source(NamedTuple):
    """The values that an owner set, and the file that each of them stands in or belongs in."""

    values: Mapping[str, Any]
    config_file: str
    local_file: str
    local_values: Mapping[str, Any]

    def file_of(self, name: str) -> str:
        is_local = name in self.local_values or (self.local_file and name in REQUIRED and not self.values.get(name))
        return self.local_file if is_local else self.config_file


def check_settings(
    values: Mapping[str, Any],
    *,
    config_file: str,
    local_values: Mapping[str, Any] | None = None,
    local_file: str = "",
    service: Service = GLOBUS,
) -> Settings:
    """The settings of a route.

    Args:
        values: The names that config_file defines; those that are not written in capitals are ignored.
        config_file: The file they were read from. It also stands for the route in messages and metrics.
        local_values: The same of local_file, where there is one; each wins over the one in `values`.
        local_file: Where an owner's settings belong; empty: in config_file itself.
        service: What the environment names in the place of Globus.

    Raises:
        ConfigurationProblem: With every finding at once, and the file it is in; an unknown name comes with the closest
            known one.
    """
    source = _Source({**values, **(local_values or {})}, config_file, local_file, local_values or {})
    if not any(source.values.get(name) for name in REQUIRED if name != "CODE_PATH"):
        raise ConfigurationProblem(
            f"{local_file or config_file} is not filled in yet",
            details=tuple(_is_empty(name, source.values) for name in REQUIRED if not source.values.get(name)),
            remedy="Write these settings into that file, then run test_config.py. README.md has an example. To see it "
            "all work first, without an account: `make demo`.",
        )
    if findings := list(_findings(source.values)) or list(_contradictions(source.values)):
        raise _refusal(source, findings)
    return _frozen(source, _edited(values) if local_file else (), service)


def _findings(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each name that is wrong, with why."""
    for name in values:
        if name.isupper() and not name.startswith("_") and name not in NAMES:
            yield name, f"{name} is not a setting{_suggestion(name)}"
    for row in TABLE:
        value = values.get(row.name, row.default)
        if row.default is None and value in (None, ""):
            yield row.name, _is_empty(row.name, values)
        elif finding := row.check(value):
            # Who knows a watching service's URL can report to it that all is well.
            shown = "" if row.name in SECRET else f"; it is {value!r}"
            yield row.name, f"{row.name} {finding}{shown}"


def _is_empty(name: str, values: Mapping[str, Any]) -> str:
    hint = f"; {name.lower()} is another name: write it in capitals" if name.lower() in values else ""
    return f"{name} is empty{hint}"


def _suggestion(name: str) -> str:
    import difflib  # only a misspelt setting pays for it

    close = difflib.get_close_matches(name, NAMES, n=1)
    return f"; did you mean {close[0]}?" if close else f"; the settings are {', '.join(NAMES)}"


def _contradictions(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The same for values that are right by themselves but not together."""
    src_dir, dst_dir = _tidy(values["SRC_DIR"]), _tidy(values["DST_DIR"])
    for name, effect in OWN_PLACES.items():
        path = _tidy(values.get(name, ""))
        if path and _is_in(path, src_dir):
            yield name, f"{name} {path} lies inside SRC_DIR {src_dir}, so {effect}"
    is_same_collection = values["SRC_ID"].lower() == values["DST_ID"].lower()
    if is_same_collection and _is_in(dst_dir, _tidy(values.get("SRC_PATH") or src_dir)):
        yield "DST_DIR", f"DST_DIR {dst_dir} lies inside SRC_DIR on the same collection, so it would copy itself"


def _is_in(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def _refusal(source: _Source, findings: list[tuple[str, str]]) -> ConfigurationProblem:
    files = sorted({source.file_of(name) for name, _ in findings})
    details = tuple(
        text if len(files) == 1 else f"{os.path.split(source.file_of(name))[1]}: {text}" for name, text in findings
    )
    return ConfigurationProblem(
        f"{' and '.join(files)} {'has' if len(files) == 1 else 'have'} {len(findings)} wrong "
        f"setting{'s' * (len(findings) > 1)}",
        details=details,
        remedy="Correct them and run test_config.py. Nothing was sent or recorded.",
    )


def _frozen(source: _Source, edited: tuple[str, ...], service: Service) -> Settings:
    chosen = {row.name.lower(): source.values.get(row.name, row.default) for row in TABLE}
    for name in ("exclude", "notify", "accept"):
        chosen[name] = tuple(chosen[name])
    chosen["on_problem"] = checks.command_words(chosen["on_problem"])
    for name in ("src_dir", "dst_dir", "code_path", "src_path", "report_file"):
        chosen[name] = _tidy(chosen[name])
    for name in ("src_id", "dst_id", "client_id"):
        chosen[name] = chosen[name].lower()
    chosen["full_scan_every"] = interval_seconds(str(chosen["full_scan_every"]))
    chosen["src_path"] = chosen["src_path"] or chosen["src_dir"]
    chosen["label"] = chosen["label"] or _label_from(chosen["src_dir"])
    config_file, local_file = source.config_file, source.local_file
    return Settings(**chosen, config_file=config_file, local_file=local_file, edited=edited, service=service)


def _edited(values: Mapping[str, Any]) -> tuple[str, ...]:
    shipped = {row.name: "" if row.default is None else row.default for row in TABLE}
    return tuple(name for name, value in shipped.items() if values.get(name, value) != value)


def _tidy(path: str) -> str:
    if not path:
        return ""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _label_from(src_dir: str) -> str:
    name = src_dir.rsplit("/", 1)[-1] or "root"
    plain = "".join(mark if mark.isprintable() and mark not in ",/:" else "_" for mark in name).strip()
    return plain[:80].strip() or "transfer"

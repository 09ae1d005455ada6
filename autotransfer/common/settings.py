"""config.py, checked and frozen: one table of settings, every problem found at once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from autotransfer.common.errors import ConfigurationProblem, UsageProblem
from autotransfer.common.times import interval_seconds

REQUIRED = ("SRC_DIR", "DST_DIR", "SRC_ID", "DST_ID", "CLIENT_ID", "CODE_PATH")


UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


SYNC_LEVELS = ("exists", "size", "mtime", "checksum")


NOTIFY = ("succeeded", "failed", "inactive")


PING_URL = re.compile(r"(https://[\w.-]+|http://(localhost|127\.0\.0\.1|\[::1\]))(:\d{1,5})?(/[\w.~%+-]+)+/?", re.ASCII)


SECRET = ("PING_URL",)


LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


Check = Callable[[Any], "str | None"]


class Settings(NamedTuple):
    """The settings of one route, every value checked; names are those of config.py in lower case."""

    src_dir: str
    dst_dir: str
    src_id: str
    dst_id: str
    client_id: str
    code_path: str
    src_path: str
    client_secret_file: str
    exclude: tuple[str, ...]
    settle_seconds: float
    symlinks: str
    sync_level: str
    preserve_timestamp: bool
    verify_checksum: bool
    encrypt_data: bool
    skip_source_errors: bool
    fail_on_quota_errors: bool
    notify: tuple[str, ...]
    deadline_hours: float
    stuck_hours: float
    label: str
    max_items_per_task: int
    max_tasks_in_flight: int
    scan: str
    full_scan_every: int
    scan_workers: int
    scan_executor: str
    log_level: str
    log_max_bytes: int
    remind_hours: float
    metrics_file: str
    ping_url: str
    on_problem: tuple[str, ...]
    report_file: str
    config_file: str

    @property
    def route(self) -> dict[str, str]:
        """What the datastore's records are about: from where to where."""
        return {"SRC_ID": self.src_id, "SRC_DIR": self.src_dir, "DST_ID": self.dst_id, "DST_DIR": self.dst_dir}

    def state_file(self, name: str) -> str:
        """The path of one of our own files in CODE_PATH."""
        return os.path.join(self.code_path, name)


def _absolute(value: Any) -> str | None:
    if not isinstance(value, str) or not value.startswith("/"):
        return "must be an absolute path, such as '/data/run7'"
    if "\0" in value or "\r\n" in value or ".." in value.split("/"):
        return "must not hold '..', a NUL or a CR LF"
    return None if _is_unicode(value) else "must be UTF-8; Globus can carry no other name"


def _optional_path(value: Any) -> str | None:
    return None if value == "" else _absolute(value)


def _uuid(value: Any) -> str | None:
    if isinstance(value, str) and UUID.fullmatch(value):
        return None
    return "must be a UUID, such as 'ddb59aef-6d04-11e5-ba46-22000b92c6ec'"


def _patterns(value: Any) -> str | None:
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        return "must be a list of name patterns, such as ['*.tmp', 'scratch']"
    for pattern in value:
        if not isinstance(pattern, str) or not pattern or not _is_unicode(pattern):
            return f"holds {pattern!r}; each pattern must be a non-empty string"
        if "/" in pattern:
            return f"holds {pattern!r}; patterns match names, not paths, so '/' never matches"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _yes_no(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be True or False"


def _one_of(*choices: str) -> Check:
    def check(value: Any) -> str | None:
        return None if value in choices else f"must be one of {', '.join(map(repr, choices))}"

    return check


def _some_of(*choices: str) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, (list, tuple)) and all(choice in choices for choice in value):
            return None
        return f"must be a list of any of {', '.join(map(repr, choices))}; [] for none"

    return check


def _number(least: float, most: float) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most:
            return None
        return f"must be a number from {least:g} to {most:g}"

    return check


def _whole(least: int, most: int) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return None
        return f"must be a whole number from {least} to {most}"

    return check


def _label(value: Any) -> str | None:
    if not isinstance(value, str) or value != value.strip() or len(value) > 80:
        return "must be at most 80 characters, without blanks at its ends"
    if any(mark in value for mark in "\r\n,/:") or not value.isprintable():
        return "must not hold ',', '/', ':' or control characters (tasks are looked up by label)"
    return None


def _interval(value: Any) -> str | None:
    try:
        interval_seconds(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)
    except (UsageProblem, AttributeError):
        return "must be an interval from 60s to 365d, such as '12h' or '1d'"
    return None


def _executor(value: Any) -> str | None:
    if value == "mpi":
        return (
            "no longer takes 'mpi'; start Dask's scheduler and workers instead (under MPI, dask-mpi does) and write "
            "'dask:ADDRESS', or write '' to scan on this machine"
        )
    if value == "" or (isinstance(value, str) and value.startswith("dask:") and value != "dask:"):
        return None
    return "must be '' or 'dask:ADDRESS', such as 'dask:tcp://10.0.0.5:8786'"


def _metrics_file(value: Any) -> str | None:
    if value != "" and isinstance(value, str) and not value.endswith(".prom"):
        return "must end in '.prom'; the collector of node_exporter reads nothing else"
    return _optional_path(value)


def _ping_url(value: Any) -> str | None:
    if value == "" or (isinstance(value, str) and PING_URL.fullmatch(value)):
        return None
    return "must be an https URL without a query, such as 'https://hc-ping.com/UUID'; http is for this machine alone"


def _command(value: Any) -> str | None:
    try:
        words = command_words(value)
    except ValueError as error:
        return f"cannot be split into words: {error}"
    if isinstance(value, (str, list, tuple)) and all(isinstance(word, str) and word for word in words):
        return "must not hold a NUL" if any("\0" in word for word in words) else None
    return "must be a command, such as ['/usr/bin/logger', '-t', 'transfer']; [] for none"


def command_words(value: Any) -> tuple[Any, ...]:
    """The words of a command; text is split as a shell would, but no shell is asked.

    Raises:
        ValueError: A quotation in the text does not end.
    """
    if isinstance(value, str):
        import shlex  # only a command that is written as one text pays for it

        return tuple(shlex.split(value))
    return tuple(value) if isinstance(value, (list, tuple)) else ()


def _report(value: Any) -> str | None:
    # It is replaced in each run: whatever is no page of ours must not be taken for one by a slip.
    if value == "" or (not _absolute(value) and value.endswith((".html", ".htm")) and value.split("/")[-1] != ".html"):
        return None
    return "must be the absolute path of a page, such as '/var/www/html/run7.html'"


class Setting(NamedTuple):
    """One row of the table: the name in config.py, its default (None: required) and its check."""

    name: str
    default: Any
    check: Check


TABLE = (
    Setting("SRC_DIR", None, _absolute),
    Setting("DST_DIR", None, _absolute),
    Setting("SRC_ID", None, _uuid),
    Setting("DST_ID", None, _uuid),
    Setting("CLIENT_ID", None, _uuid),
    Setting("CODE_PATH", None, _absolute),
    Setting("SRC_PATH", "", _optional_path),
    Setting("CLIENT_SECRET_FILE", "", _optional_path),
    Setting("EXCLUDE", [], _patterns),
    Setting("SETTLE_SECONDS", 10, _number(0, 86400)),
    Setting("SYMLINKS", "ignore", _one_of("ignore", "follow")),
    Setting("SYNC_LEVEL", "mtime", _one_of(*SYNC_LEVELS)),
    Setting("PRESERVE_TIMESTAMP", True, _yes_no),
    Setting("VERIFY_CHECKSUM", True, _yes_no),
    Setting("ENCRYPT_DATA", True, _yes_no),
    Setting("SKIP_SOURCE_ERRORS", True, _yes_no),
    Setting("FAIL_ON_QUOTA_ERRORS", False, _yes_no),
    Setting("NOTIFY", [], _some_of(*NOTIFY)),
    Setting("DEADLINE_HOURS", 0, _number(0, 24 * 365)),
    Setting("STUCK_HOURS", 24, _number(0.1, 24 * 90)),
    Setting("LABEL", "", _label),
    Setting("MAX_ITEMS_PER_TASK", 10_000, _whole(1, 1_000_000)),
    Setting("MAX_TASKS_IN_FLIGHT", 20, _whole(1, 100)),
    Setting("SCAN", "full", _one_of("full", "quick")),
    Setting("FULL_SCAN_EVERY", "1d", _interval),
    Setting("SCAN_WORKERS", 0, _whole(0, 256)),
    Setting("SCAN_EXECUTOR", "", _executor),
    Setting("LOG_LEVEL", "INFO", _one_of(*LOG_LEVELS)),
    Setting("LOG_MAX_BYTES", 10_000_000, _whole(10_000, 10_000_000_000)),
    Setting("REMIND_HOURS", 168, _number(0, 24 * 365)),
    Setting("METRICS_FILE", "", _metrics_file),
    Setting("PING_URL", "", _ping_url),
    Setting("ON_PROBLEM", [], _command),
    Setting("REPORT_FILE", "", _report),
)


NAMES = tuple(setting.name for setting in TABLE)


def check_settings(values: Mapping[str, Any], *, config_file: str) -> Settings:
    """The settings that a configuration gives.

    Args:
        values: The names that the configuration defines; those that are not written in capitals are ignored.
        config_file: Where they come from, for the messages.

    Raises:
        ConfigurationProblem: With every finding at once; an unknown name comes with the closest known one.
    """
    if not any(values.get(name) for name in REQUIRED if name != "CODE_PATH"):
        raise ConfigurationProblem(
            f"{config_file} is not filled in yet",
            details=tuple(f"{name} is empty" for name in REQUIRED if not values.get(name)),
            remedy="Fill in these settings, then run test_config.py. To see it all work first, without an account: "
            "`make demo`.",
        )
    findings = [f"{name} is not a setting{_suggestion(name)}" for name in values if _is_unknown(name)]
    for setting in TABLE:
        value = values.get(setting.name, setting.default)
        if setting.default is None and value in (None, ""):
            findings.append(f"{setting.name} is empty")
        elif finding := setting.check(value):
            # Who knows a watching service's URL can say that all is well.
            findings.append(f"{setting.name} {finding}" + ("" if setting.name in SECRET else f"; it is {value!r}"))
    if not findings:
        findings = _together(values)
    if findings:
        raise ConfigurationProblem(
            f"{config_file} has {len(findings)} wrong setting{'s' * (len(findings) > 1)}",
            details=tuple(findings),
            remedy="Mend them and run test_config.py. Nothing was sent or recorded.",
        )
    return _frozen(values, config_file)


def _frozen(values: Mapping[str, Any], config_file: str) -> Settings:
    chosen = {setting.name.lower(): values.get(setting.name, setting.default) for setting in TABLE}
    for name in ("exclude", "notify"):
        chosen[name] = tuple(chosen[name])
    chosen["on_problem"] = command_words(chosen["on_problem"])
    for name in ("src_dir", "dst_dir", "code_path", "src_path", "report_file"):
        chosen[name] = _tidy(chosen[name])
    for name in ("src_id", "dst_id", "client_id"):
        chosen[name] = chosen[name].lower()
    chosen["full_scan_every"] = interval_seconds(str(chosen["full_scan_every"]))
    chosen["src_path"] = chosen["src_path"] or chosen["src_dir"]
    chosen["label"] = chosen["label"] or _label_from(chosen["src_dir"])
    return Settings(**chosen, config_file=config_file)


def _tidy(path: str) -> str:
    if not path:
        return ""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _label_from(src_dir: str) -> str:
    name = src_dir.rsplit("/", 1)[-1] or "root"
    plain = "".join(mark if mark.isprintable() and mark not in ",/:" else "_" for mark in name).strip()
    return plain[:80].strip() or "transfer"


def _together(values: Mapping[str, Any]) -> list[str]:
    findings = []
    src_dir, code_path = _tidy(values["SRC_DIR"]), _tidy(values["CODE_PATH"])
    if f"{code_path}/".startswith(f"{src_dir.rstrip('/')}/"):
        findings.append(
            f"CODE_PATH {code_path} lies inside SRC_DIR {src_dir}, so the login and the datastore would be sent too"
        )
    metrics_file = _tidy(values.get("METRICS_FILE", ""))
    if metrics_file and f"{metrics_file}/".startswith(f"{src_dir.rstrip('/')}/"):
        findings.append(f"METRICS_FILE {metrics_file} lies inside SRC_DIR {src_dir}, so each run would find it changed")
    report_file = _tidy(values.get("REPORT_FILE", ""))
    if report_file.startswith(f"{src_dir.rstrip('/')}/"):
        findings.append(f"REPORT_FILE {report_file} lies inside SRC_DIR {src_dir}, so every new page would be sent too")
    same_ends = values["SRC_ID"].lower() == values["DST_ID"].lower()
    src_path, dst_dir = _tidy(values.get("SRC_PATH") or src_dir), _tidy(values["DST_DIR"])
    if same_ends and f"{dst_dir}/".startswith(f"{src_path.rstrip('/')}/"):
        findings.append(f"DST_DIR {dst_dir} lies inside SRC_DIR on the same collection, so it would copy itself")
    return findings


def _is_unknown(name: str) -> bool:
    return name.isupper() and not name.startswith("_") and name not in NAMES


def _suggestion(name: str) -> str:
    import difflib  # only a misspelt setting pays for it

    close = difflib.get_close_matches(name, NAMES, n=1)
    return f"; did you mean {close[0]}?" if close else f"; the settings are {', '.join(NAMES)}"

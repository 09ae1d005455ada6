"""The settings checked: everything wrong is named at once, and what is right is tidied."""

from __future__ import annotations

from typing import Any

import pytest
from suite import CLIENT_ID, DST_ID, SRC_ID

from autotransfer.common.errors import ConfigurationProblem, ExitStatus
from autotransfer.common.settings import NAMES, TABLE, Settings, check_settings

REQUIRED = {
    "SRC_DIR": "/data/run7",
    "DST_DIR": "/archive",
    "SRC_ID": SRC_ID,
    "DST_ID": DST_ID,
    "CLIENT_ID": CLIENT_ID,
    "CODE_PATH": "/home/me/state",
}


def checked(**values: Any) -> Settings:
    return check_settings({**REQUIRED, **values}, config_file="route.py")


def findings(**values: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationProblem) as problem:
        checked(**values)
    assert problem.value.exit_status == ExitStatus.CONFIGURATION
    assert "route.py" in str(problem.value)
    return problem.value.details


def test_the_required_settings_are_enough() -> None:
    settings = checked()

    assert (settings.src_path, settings.label, settings.sync_level) == ("/data/run7", "run7", "mtime")
    assert (settings.settle_seconds, settings.stuck_hours) == (10, 24)
    assert (settings.max_items_per_task, settings.max_tasks_in_flight) == (10_000, 20)
    assert settings.verify_checksum and settings.encrypt_data and settings.preserve_timestamp
    assert settings.route == {"SRC_ID": SRC_ID, "SRC_DIR": "/data/run7", "DST_ID": DST_ID, "DST_DIR": "/archive"}


def test_everything_that_is_wrong_is_named_at_once() -> None:
    wrong: dict[str, Any] = {
        "SRC_DIR": "data",
        "SRC_ID": "not a uuid",
        "EXCLUDE": "*.tmp",
        "SETTLE_SECONDS": -1,
        "SYMLINKS": "copy",
        "SYNC_LEVEL": 2,
        "VERIFY_CHECKSUM": "yes",
        "NOTIFY": ["done"],
        "MAX_ITEMS_PER_TASK": 0,
        "MAX_TASKS_IN_FLIGHT": 1.5,
        "LABEL": "a/b",
        "LOG_LEVEL": "LOUD",
        "SINK_LEVEL": "mtime",
    }

    found = findings(**wrong)

    assert sorted(finding.split(" ")[0] for finding in found) == sorted(wrong)


@pytest.mark.parametrize(
    ("name", "closest"),
    [("SRC_DIRECTORY", "SRC_DIR"), ("SYNCLEVEL", "SYNC_LEVEL"), ("EXCLUDES", "EXCLUDE"), ("STUCK_HOUR", "STUCK_HOURS")],
)
def test_an_unknown_name_comes_with_the_closest_known_one(name: str, closest: str) -> None:
    assert findings(**{name: 1}) == (f"{name} is not a setting; did you mean {closest}?",)


def test_a_name_that_is_close_to_none_comes_with_all() -> None:
    (finding,) = findings(QQQQ=1)

    assert all(name in finding for name in NAMES)


def test_names_that_are_not_in_capitals_are_the_owners_own() -> None:
    assert checked(os=1, _X=1, helper=1, __file__="x").src_dir == "/data/run7"


@pytest.mark.parametrize("empty", ["", None])
def test_a_required_setting_that_is_empty_is_named(empty: Any) -> None:
    assert findings(DST_DIR=empty) == ("DST_DIR is empty",)


def test_a_configuration_that_was_never_edited_says_how_to_begin() -> None:
    with pytest.raises(ConfigurationProblem, match="is not filled in yet") as problem:
        check_settings(dict.fromkeys(REQUIRED, "") | {"CODE_PATH": "/x"}, config_file="config.py")

    assert "make demo" in str(problem.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SRC_DIR", "relative/path"),
        ("SRC_DIR", "/a/../b"),
        ("SRC_DIR", "/a\0b"),
        ("DST_DIR", "/a\r\nb"),
        ("SRC_PATH", "relative"),
        ("SRC_DIR", "/\udcff"),
        ("SRC_DIR", b"/a"),
        ("SRC_ID", SRC_ID[:-1]),
        ("SRC_ID", SRC_ID + "0"),
        ("CLIENT_ID", 5),
        ("EXCLUDE", [""]),
        ("EXCLUDE", ["a/b"]),
        ("EXCLUDE", [5]),
        ("EXCLUDE", ["\udcff"]),
        ("SETTLE_SECONDS", True),
        ("SETTLE_SECONDS", float("nan")),
        ("SETTLE_SECONDS", float("inf")),
        ("SETTLE_SECONDS", "10"),
        ("STUCK_HOURS", 0),
        ("MAX_ITEMS_PER_TASK", True),
        ("MAX_ITEMS_PER_TASK", 10.0),
        ("SYNC_LEVEL", ["mtime"]),
        ("NOTIFY", "failed"),
        ("PRESERVE_TIMESTAMP", 1),
        ("LABEL", " a"),
        ("LABEL", "a" * 91),
        ("LABEL", "a:b"),
        ("LABEL", "a\nb"),
        ("LABEL", None),
    ],
)
def test_a_wrong_value_is_named_with_its_setting(name: str, value: Any) -> None:
    (finding,) = findings(**{name: value})

    assert finding.startswith(f"{name} ")
    assert finding.endswith(f"it is {value!r}")


def test_paths_are_tidied_and_ids_written_small() -> None:
    settings = checked(SRC_DIR="//data/./run7/", DST_DIR="/", SRC_ID=SRC_ID.upper(), EXCLUDE=("*.tmp",), SRC_PATH="/x/")

    assert (settings.src_dir, settings.dst_dir, settings.src_id) == ("/data/run7", "/", SRC_ID)
    assert (settings.exclude, settings.src_path) == (("*.tmp",), "/x")


@pytest.mark.parametrize(
    ("src_dir", "label"),
    [
        ("/a/beam: 3,4", "beam_ 3_4"),
        ("/a/" + "x" * 91, "x" * 80),
        ("/a/\t", "_"),
        ("/a/\u00e9 ", "\u00e9"),
        ("/a/ ", "transfer"),
    ],
)
def test_a_label_is_made_of_the_name_of_src_dir(src_dir: str, label: str) -> None:
    assert checked(SRC_DIR=src_dir).label == label


@pytest.mark.parametrize(
    "code_path", ["/data/run7", "/data/run7/", "/data/run7/state", "/data/run7//.state", "/data/./run7/a"]
)
def test_our_own_files_may_not_lie_in_what_is_sent(code_path: str) -> None:
    (finding,) = findings(CODE_PATH=code_path)

    assert finding.startswith("CODE_PATH ") and "lies inside SRC_DIR" in finding


def test_a_neighbour_with_the_same_beginning_is_not_inside() -> None:
    assert checked(CODE_PATH="/data/run7.state").code_path == "/data/run7.state"


@pytest.mark.parametrize("dst_dir", ["/data/run7", "/data/run7/copy"])
def test_a_copy_into_itself_is_refused(dst_dir: str) -> None:
    (finding,) = findings(DST_ID=SRC_ID, DST_DIR=dst_dir)

    assert "would copy itself" in finding
    assert checked(DST_DIR=dst_dir).dst_dir == dst_dir
    assert checked(DST_ID=SRC_ID, DST_DIR="/data/run70").dst_dir == "/data/run70"


# ---- the pair of files ------------------------------------------------------------------------------------------


def pair(values: dict[str, Any], local_values: dict[str, Any] | None) -> Settings:
    """The settings of a config.py with a config_local.py beside it; None: there is none yet."""
    return check_settings(
        values, config_file="/opt/config.py", local_values=local_values, local_file="/opt/config_local.py"
    )


def test_config_local_wins_setting_by_setting() -> None:
    settings = pair({**dict.fromkeys(REQUIRED, ""), "SCAN": "full", "STUCK_HOURS": 9}, {**REQUIRED, "SCAN": "quick"})

    assert (settings.src_dir, settings.scan, settings.stuck_hours) == ("/data/run7", "quick", 9)
    assert settings.edited == ("STUCK_HOURS",)


def test_a_config_py_that_was_filled_in_itself_still_works_and_is_noticed() -> None:
    settings = pair({**REQUIRED, "EXCLUDE": ["*.tmp"], "SCAN": "full"}, None)

    assert settings.src_dir == "/data/run7"
    assert settings.edited == (*REQUIRED, "EXCLUDE")


@pytest.mark.parametrize(
    ("values", "local_values", "says"),
    [
        ({}, None, "/opt/config_local.py is not filled in yet:\n  - SRC_DIR is empty"),
        (
            {},
            {**REQUIRED, "SCANS": "quick"},
            "/opt/config_local.py has 1 wrong setting:\n  - SCANS is not a setting; did",
        ),
        ({"SCAN": "fast"}, REQUIRED, "/opt/config.py has 1 wrong setting:\n  - SCAN must be"),
        ({}, {**REQUIRED, "DST_ID": ""}, "/opt/config_local.py has 1 wrong setting:\n  - DST_ID is empty"),
        ({}, {"SRC_DIR": "/data/run7"}, "/opt/config_local.py has 5 wrong settings:\n  - DST_DIR is empty"),
        (
            {"SCAN": "fast"},
            {**REQUIRED, "NOTIFY": 1},
            "/opt/config.py and /opt/config_local.py have 2 wrong settings:\n  - config_local.py: NOTIFY",
        ),
        ({"REPORT_FILE": "/data/run7/a.html"}, REQUIRED, "/opt/config.py has 1 wrong setting:\n  - REPORT_FILE"),
    ],
)
def test_a_message_names_the_file_in_which_the_setting_stands_or_belongs(
    values: dict[str, Any], local_values: dict[str, Any] | None, says: str
) -> None:
    with pytest.raises(ConfigurationProblem) as problem:
        pair({**dict.fromkeys(REQUIRED, ""), **values}, local_values)

    assert str(problem.value).startswith(says)


def test_the_table_is_the_type() -> None:
    fields = [name for name in Settings._fields if name not in ("config_file", "local_file", "edited", "service")]

    assert [row.name.lower() for row in TABLE] == fields
    assert all(row.group and row.meaning for row in TABLE)
    assert all(row.check(row.default) is None for row in TABLE if row.default is not None)
    assert all(row.check(None) for row in TABLE)


def test_a_command_in_a_message_names_the_path_and_the_route_in_full() -> None:
    own = check_settings(REQUIRED, config_file="/opt/config.py", local_file="/opt/config_local.py")
    other = check_settings(REQUIRED, config_file="/etc/run 7.py")

    assert own.set_time_command("a/f 1") == "set_time.py never --path='/data/run7/a/f 1'"
    assert other.set_time_command("a", "now") == "set_time.py now --path=/data/run7/a --config='/etc/run 7.py'"

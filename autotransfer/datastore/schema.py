"""The form of what each key of the datastore holds; a value of another form is damaged. Pure.

A form is a type, a check, a tuple of forms (one for each member), a list of one form (for any number of members), or a
dict of one pair (the forms of its keys and values).
"""

from __future__ import annotations

from typing import Any, Callable, Union

from autotransfer.datastore.columns import BASE_BYTES, ITEM_BYTES, OFFSETS, SEPARATOR
from autotransfer.datastore.evidence import WORDS
from autotransfer.datastore.record import Record
from autotransfer.datastore.tasks import PREPARED, READING, ROW_BYTES, SUBMITTED, Task

Check = Callable[[Any], bool]
Form = Union[type, Check, "tuple[Form, ...]", "list[Form]", "dict[Form, Form]"]
LAST_NS = (1 << 63) - 1
MOST_NUMBER = (1 << 32) - 1

# How many fields a folder's record had in the oldest format that is read.
FEWEST_FIELDS = 10

# How many fields a Reading had in the first version that kept one.
FEWEST_READ = 14


def fits(value: Any, form: Form) -> bool:
    """Whether a value has a form. Types are meant exactly: True is not an int."""
    if isinstance(form, type):
        return type(value) is form
    if isinstance(form, tuple):
        return type(value) is tuple and len(value) == len(form) and all(map(fits, value, form))
    if isinstance(form, list):
        return type(value) is list and all(fits(member, form[0]) for member in value)
    if isinstance(form, dict):
        ((keys, values),) = form.items()
        return type(value) is dict and all(fits(key, keys) and fits(held, values) for key, held in value.items())
    return form(value)


def is_sound(key: str, value: Any) -> bool:
    """Whether a value has the form of what this key holds; an unknown key may hold anything."""
    if key.startswith("/"):
        return _is_record(value)
    if key.startswith("quick /"):
        return type(value) is tuple and len(value) == 5 and _are_columns(value[0], value[1:])
    return fits(value, FORMS.get(key) or FORMS_BY_WORD.get(key.partition(" ")[0]) or _is_anything)


def _is_anything(value: Any) -> bool:
    return True


def _is_text(value: Any) -> bool:
    """Whether it is text that UTF-8 can encode."""
    if type(value) is not str:
        return False
    try:
        return value.isascii() or bool(value.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LAST_NS


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 < value <= MOST_NUMBER


def _is_moment(value: Any) -> bool:
    return type(value) is int and -LAST_NS <= value <= LAST_NS


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float)


def _is_document(value: Any, *, text: Form = _is_text) -> bool:
    """Whether JSON can carry it.

    Raises:
        RecursionError: It is nested too deep, or holds itself.
    """
    if type(value) is dict:
        return all(fits(key, text) and _is_document(held, text=text) for key, held in value.items())
    if type(value) in (list, tuple):
        return all(_is_document(held, text=text) for held in value)
    return value is None or type(value) in (int, float, bool) or fits(value, text)


def _are_counts(value: Any) -> bool:
    return type(value) is tuple and all(type(count) is int for count in value)


def _is_below(value: Any) -> bool:
    """Whether it is a rel_path that does not leave SRC_DIR."""
    return _is_text(value) and not value.startswith("/") and ".." not in value.split("/")


def _are_below(value: Any) -> bool:
    """Whether it is rel_paths, each as the scan writes it, joined by NUL; "." stands for SRC_DIR itself."""
    if type(value) is bytes:
        value = value.decode(errors="replace")
    if not value or value == ".":
        return type(value) is str
    return _is_text(value) and not {"", ".", ".."}.intersection(value.replace("\0", "/").split("/"))


def _is_reading(value: Any) -> bool:
    forms: tuple[Form, ...] = (
        *(_is_text, _is_text, _is_text, _are_counts, _is_count, _is_text, _is_text),
        *(_is_count, _is_count, bool, _is_count, bool, _is_count, _is_moment, _is_count),
    )
    return value == () or (type(value) is tuple and len(value) >= FEWEST_READ and fits(value, forms[: len(value)]))


# The fields of Task.
TASK_FORMS: dict[str, Form] = {
    "number": _is_number,
    "submission_id": _is_text,
    "label": _is_text,
    "sync_level": _is_text,
    "document": _is_document,
    "src_path": _is_text,
    "dst_dir": _is_text,
    "files": _is_count,
    "size_bytes": _is_count,
    "items": _is_count,
    "prepared_at_ns": _is_moment,
    "has_failed": bool,
    "failing": _is_count,
    "state": _is_text,
    "task_id": _is_text,
    "submitted_at_ns": _is_moment,
    "is_adopted": bool,
    "progress": _are_counts,
    "progress_at_ns": _is_moment,
    "trouble": _is_text,
    "is_canceling": bool,
    "ended_at_ns": _is_moment,
    "reason": _is_text,
    "arrived": _is_count,
    "returned": _is_count,
    "verifies": bool,
    "reading": _is_reading,
}


def _is_task(value: Any) -> bool:
    if type(value) is not dict or any(name not in value for name in Task._fields if name not in Task._field_defaults):
        return False
    return all(name in TASK_FORMS and fits(held, TASK_FORMS[name]) for name, held in value.items())


def _is_ledger(value: Any) -> bool:
    if type(value) is not dict or value.keys() != {"next_number", "open"} or not _is_number(value["next_number"]):
        return False
    if not fits(value["open"], {_is_number: _is_task}):
        return False
    return all(
        task["number"] == number < value["next_number"]
        and task.get("state", PREPARED) in (PREPARED, SUBMITTED, READING)
        for number, task in value["open"].items()
    )


def _are_packed_tasks(value: Any) -> bool:
    if type(value) is not tuple or len(value) != 3:
        return False
    rows, states, odd_ids = value
    if type(rows) is not bytes or len(rows) % ROW_BYTES or type(states) is not tuple or not all(map(_is_text, states)):
        return False
    return max(rows[12::ROW_BYTES], default=-1) < len(states) and fits(odd_ids, {_is_number: _is_text})


def _is_full_scan(value: Any) -> bool:
    return fits(value, {_is_text: _is_anything}) and _is_moment(value.get("at_ns")) and fits(value.get("basis"), [str])


def _are_lists(value: Any) -> bool:
    return (
        type(value) is dict
        and value.keys() == {"basis", "at_ns", "missed"}
        and fits((value["basis"], value["at_ns"], value["missed"]), ([str], [_is_moment], [str]))
    )


def _is_last_run(value: Any) -> bool:
    if type(value) is not dict or not _is_document(value, text=str):  # it quotes names that are not UTF-8
        return False
    return all(fits(value[name], form) for name, form in LAST_RUN_FORMS.items() if name in value)


LAST_RUN_FORMS: dict[str, Form] = {
    "started_at_ns": _is_moment,
    "seconds": _is_seconds,
    "status": _is_count,
    "tree_files": _is_count,
    "full_scan_at_ns": _is_moment,
    "login_used_at_ns": _is_moment,
    "task_ids": [_is_text],
    "notices": [str],
    "notices_about": [(str, str, str)],
    "problem": str,
}


def _is_record(value: Any) -> bool:
    if type(value) is not tuple or not FEWEST_FIELDS <= len(value) <= len(Record._fields):
        return False
    record = Record(*value)
    return (
        _are_columns(record.names, record.columns)
        and _are_moments(record.transferred_at_ns)
        and _are_moments(record.tasks)
        and _is_evidence(record.evidence)
        and type(record.folders) is str
        and _are_in_flight(record.in_flight, columns=5 if len(value) == len(Record._fields) else 4)
        and _are_retries(record.retries)
        and type(record.verify_until_ns) is type(record.carried_by) is int
    )


def _are_moments(column: Any) -> bool:
    """Whether all its numbers are within 64 bits, so that they can be shown as dates."""
    return type(column) is tuple or _is_moment(column)


def _is_evidence(column: Any) -> bool:
    """Whether each number is one of the known kinds."""
    if type(column) is tuple:
        return column[0] == "B" and max(column[1], default=0) < len(WORDS)
    return type(column) is int and 0 <= column < len(WORDS)


def _are_columns(names: Any, columns: Any) -> bool:
    if type(names) is not str:
        return False
    count = names.count(SEPARATOR) + 1 if names else 0
    for column in columns:
        kind = type(column)
        if kind is tuple:
            if not fits(column, (str, bytes)):
                return False
            base_bytes = BASE_BYTES if column[0] == OFFSETS else 0
            if base_bytes + ITEM_BYTES.get(column[0], -1) * count != len(column[1]):
                return False
        elif kind is list:
            if len(column) != count or not all(type(number) is int for number in column):
                return False
        elif kind is not int:
            return False
    return True


def _are_in_flight(value: Any, *, columns: int) -> bool:
    if type(value) is dict and columns == 4:  # format 1
        return fits(value, {str: (int, int, int)})
    return type(value) is tuple and (not value or (len(value) == columns and _are_columns(value[0], value[1:])))


def _are_retries(value: Any) -> bool:
    return (type(value) is dict and not value) or fits(value, {str: (int, int, _is_count, int, str, int)})


FORMS: dict[str, Form] = {
    "ROUTE": {_is_text: _is_text},
    "SERVICE": _is_text,
    "LEDGER": _is_ledger,
    "HISTORY": (_is_count, _is_count, _is_count),
    "LAST_RUN": _is_last_run,
    "RUNS": [(_is_moment, _is_seconds, _is_count)],
    "DEVICE": int,
    "ITEM_LIMIT": _is_number,
    "EMPTY_IS_MEANT": bool,
    "RESET": (_is_count, _is_count),
    "FULL_SCAN": _is_full_scan,
    "FEED": _are_below,
    "MOVED": {str: _is_count},
    "BLIND": {str: str},
    "LISTS": _are_lists,
    "APART": [_is_below],
    "MOUNTS": {_is_below: (int, int, int, int)},
    "MARK": (_is_text, _is_count),
    "RESTORED": (_is_moment, _is_count),
}

# The same for keys that are a word and a number.
FORMS_BY_WORD: dict[str, Form] = {
    "task": _is_task,
    "ended": _are_packed_tasks,
    "twins": ([str], [str], [str], _is_count, _is_moment, _is_text),
    "apart": [str],
    "items": [(_is_below, bool, _is_count, _is_count)],
}

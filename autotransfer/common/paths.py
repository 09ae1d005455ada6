"""Names and paths: which can be sent, how they are shown, and how a path on disk becomes one on a collection.

A `rel_path` is relative to SRC_DIR, its components joined by "/", without a slash at either end; SRC_DIR itself is "".
"""

from __future__ import annotations

import os
import shlex

from autotransfer.common.errors import UsageProblem

# An empty folder is listed as one entry of this name; no file can have it.
FOLDER_ITSELF = "."

# How the names of the folders begin that this tool makes at a destination to try it. They are never read or sent.
TEST_PREFIX = ".globus-automated-transfer-test-"

# What Globus puts in front of the bytes, as Latin-1, of a name that is not UTF-8.
BYTES_MARK = "\ufffd"

# Zero-width non-joiner and joiner: Persian and Indic words are spelled with them.
JOINERS = "\u200c\u200d"


def join(folder: str, name: str) -> str:
    """The rel_path of `name` inside `folder`; the folder's own when the name is that of an empty folder."""
    if name == FOLDER_ITSELF:
        return folder
    return f"{folder}/{name}" if folder else name


def split(rel_path: str) -> tuple[str, str]:
    """The folder and the name of a rel_path."""
    folder, _, name = rel_path.rpartition("/")
    return folder, name


def is_within(rel_path: str, scope: str) -> bool:
    """Whether the path is the scope or lies below it; "" holds everything."""
    return not scope or rel_path == scope or rel_path.startswith(scope + "/")


def can_be_sent(name: str) -> bool:
    """Whether Globus can carry this name.

    JSON carries Unicode, so a name whose bytes are not UTF-8 cannot be written in a request, and Globus forbids the
    string CR LF in names. U+FFFD in front of a name tells Globus that the rest stands for bytes, so for a file whose
    name begins so it would take another one. Source: docs.globus.org/api/transfer/file_operations, "Path Encoding".

    Several names may be checked together, joined by "/".
    """
    if name.isascii():
        return "\r\n" not in name
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    is_marked = name.startswith(BYTES_MARK) or f"/{BYTES_MARK}" in name
    return "\r\n" not in name and not is_marked


def display(path: str) -> str:
    r"""The text on one line, with control characters and undecodable bytes written as escapes.

    Names come from anywhere; a terminal must show them, not obey them.

    >>> display("a\nb \udcff.txt")
    'a\\nb \\xff.txt'
    """
    if path.isprintable():
        return path
    return "".join(one if one.isprintable() or one in JOINERS else _escape(one) for one in path)


def display_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines."""
    return text if text.isprintable() else "\n".join(map(display, text.split("\n")))


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode keeps it
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def on_collection(root: str, rel_path: str, *, is_folder: bool) -> str:
    """The absolute path on a collection whose folder `root` stands for SRC_DIR; folders end in a slash."""
    root = root.rstrip("/")
    whole = f"{root}/{rel_path}" if rel_path else root
    return f"{whole}/" if is_folder else whole


def from_collection(root: str, path: str) -> str | None:
    """The rel_path of an absolute path on a collection, or None when it lies outside `root`."""
    prefix = root.rstrip("/") + "/"
    if not path.startswith(prefix):
        return "" if path + "/" == prefix else None
    return path[len(prefix) :].rstrip("/")


def shell_word(path: str) -> str:
    """A path as a shell takes it, for commands in messages: $'...' where it holds what no terminal shows."""
    if path.isprintable():
        return shlex.quote(path)
    shown = (
        chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}"
        for byte in path.encode("utf-8", "surrogateescape")
    )
    return f"$'{''.join(shown)}'"


def typed(src_dir: str, path: str, *, cwd: str, effect: str = "") -> str:
    """The rel_path of what a person gave with --path: relative to `cwd`, or to SRC_DIR as messages show paths.

    Raises:
        UsageProblem: It is empty, or not inside SRC_DIR; its remedy ends in `effect`.
    """
    if not path:  # a shell variable that is not set must not mean the whole tree
        raise UsageProblem("--path is empty", remedy=f"Give SRC_DIR itself to mean all of it. {effect}".rstrip())
    rel_path = below(src_dir, path, cwd=cwd)
    if rel_path is None and not path.startswith("/"):
        rel_path = below(src_dir, path, cwd=src_dir)
    if rel_path is None:
        what = f"{display(path)} is not inside SRC_DIR {src_dir}, so nothing is known about it"
        raise UsageProblem(what, remedy=f"Give a file or folder in it. {effect}".rstrip())
    return rel_path


def below(src_dir: str, path: str, *, cwd: str) -> str | None:
    """The rel_path of what a person typed, or None when it is not inside SRC_DIR.

    The folder part is resolved through symlinks, as SRC_DIR is; the last component is taken as it stands, because a
    symlink is an entry of its own. Nothing is required to exist but the folder.
    """
    absolute = os.path.normpath(os.path.join(cwd, path)) if ".." not in path.split("/") else os.path.join(cwd, path)
    root = os.path.realpath(src_dir)
    if os.path.realpath(absolute) == root:
        return ""
    folder, name = os.path.split(absolute.rstrip("/"))
    if name in ("", ".", ".."):
        folder, name = os.path.split(os.path.realpath(absolute))
    parent = os.path.realpath(folder)
    if parent == root:
        return name
    prefix = root.rstrip("/") + "/"
    return f"{parent[len(prefix) :]}/{name}" if parent.startswith(prefix) else None

"""Whether a file of ours lies inside SRC_DIR: by device and inode, since links and mounts give it other names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.paths import display
from autotransfer.common.settings import OWN_PLACES, Settings

MOUNTS = "/proc/self/mountinfo"
MOST_LINKS = 40  # as Linux follows in one path
CONFIGURATION = ("The configuration", "it would be sent too, and it may hold PING_URL")


class _Mount(NamedTuple):
    """A mounted folder: of which device, which folder of its file system, and where."""

    device: str
    root: str
    point: str


def refuse_own_files_inside(settings: Settings) -> None:
    """Make sure that no file of ours would be sent with SRC_DIR, by whatever name it is reached.

    Raises:
        ConfigurationProblem: Some would; the details list each.

    Cost: a few system calls for each folder on the way to a file of ours.
    """
    try:
        source = os.stat(settings.src_dir)
    except OSError:
        return  # whoever reads it reports that
    mounts = _mounts()
    findings = []
    for name, path, effect in _own(settings):
        found = next((at for place in _places(path) for at in _inside(settings.src_dir, source, place, mounts)), None)
        if found is not None:
            findings.append(f"{name} {display(path)} lies there, as {display(found)}, so {effect}")
    if findings:
        raise ConfigurationProblem(
            f"Files that must not be sent lie inside SRC_DIR {settings.src_dir}",
            details=tuple(dict.fromkeys(findings)),
            remedy="Move them elsewhere, and correct the settings that name them. This run sent nothing. If an earlier "
            "version sent the login or a secret, revoke it.",
        )


def _own(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Each place of ours: what it is called, its path, and what would come of it."""
    for name, effect in OWN_PLACES.items():
        if path := getattr(settings, name.lower()):
            yield name, path, effect
    for path in (settings.config_file, settings.local_file):
        if os.path.lexists(path):
            yield CONFIGURATION[0], path, CONFIGURATION[1]


def _places(path: str) -> Iterator[str]:
    """Where the path lies, without links in its folder; then where the link leads, if it is one, and so on."""
    for _ in range(MOST_LINKS):
        folder, name = os.path.split(os.path.abspath(path))
        folder = os.path.realpath(folder)
        yield os.path.join(folder, name)
        try:
            path = os.path.join(folder, os.readlink(os.path.join(folder, name)))
        except OSError:  # no link
            return


def _inside(src_dir: str, source: os.stat_result, place: str, mounts: list[_Mount]) -> Iterator[str]:
    """The names that a place has in SRC_DIR, relative to it; none if it is outside."""
    above = place
    while True:
        if _is_same(above, source):
            yield os.path.relpath(place, above)
        if above == "/":
            break
        above = os.path.dirname(above)
    # A folder below SRC_DIR may be mounted elsewhere, or one that holds the place inside SRC_DIR.
    top = os.path.realpath(src_dir)
    device, inner = _in_file_system(place, mounts)
    own_device, own_inner = _in_file_system(top, mounts)
    shown = [(own_device, own_inner, top)] + [mount for mount in mounts if _is_below(mount.point, top)]
    for other_device, other_inner, point in shown:
        if device and device == other_device and _is_below(inner, other_inner):
            name = os.path.normpath(os.path.join(point, os.path.relpath(inner, other_inner)))
            if _is_one(place, name):  # not if something else is mounted over it
                yield os.path.relpath(name, top)


def _mounts() -> list[_Mount]:
    """What is mounted, the latest last. Source: proc(5), /proc/PID/mountinfo; elsewhere than on Linux nothing."""
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as lines:
            fields = [line.split(" ", 5) for line in lines]
    except OSError:
        return []
    return [_Mount(one[2], _unescaped(one[3]), _unescaped(one[4])) for one in fields if len(one) > 5]


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def _in_file_system(place: str, mounts: list[_Mount]) -> tuple[str, str]:
    """The device that holds a place, and its path on that device; "" where that is not known."""
    holding = [mount for mount in mounts if _is_below(place, mount.point)]
    if not holding:
        return "", ""
    longest = max(len(mount.point) for mount in holding)
    mount = [one for one in holding if len(one.point) == longest][-1]
    return mount.device, os.path.normpath(os.path.join(mount.root, os.path.relpath(place, mount.point)))


def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def _is_same(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), status)
    except OSError:
        return False


def _is_one(place: str, name: str) -> bool:
    """Whether two names are one file; of one that does not exist yet, whether their folders are one."""
    try:
        return _is_same(place, os.lstat(name))
    except FileNotFoundError:
        pass
    except OSError:
        return False
    folder, other = os.path.dirname(place), os.path.dirname(name)
    try:
        return not os.path.lexists(place) and os.path.samefile(folder, other)
    except OSError:
        return False

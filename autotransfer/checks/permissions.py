"""Who can read the secrets and change what is run: the owners and modes of our own files."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat

from autotransfer.common.errors import ConfigurationProblem
from autotransfer.common.files import NAMES
from autotransfer.common.settings import Settings


def refuse_open_files(settings: Settings) -> None:
    """Make sure that no other user of this machine can read a secret or change what is run.

    Raises:
        ConfigurationProblem: Some can. The details list every file; the remedy has the commands that close them.
    """
    findings, commands = [], []
    for path in filter(None, (settings.config_file, settings.local_file, settings.code_path)):
        if owner := _another_owner(path):
            findings.append(f"{path} belongs to {owner}, and what they write is run or trusted")
            commands.append(f"sudo chown {os.geteuid()} {shlex.quote(path)}")
        if _others_can_write(path):
            findings.append(f"{path} can be written by others, and what they write is run or trusted")
            commands.append(f"chmod go-w {shlex.quote(path)}")
    for path, folder in _folders_of(settings):
        if owner := _another_owner(folder):
            findings.append(f"{folder} belongs to {owner}, who can replace {path}")
            commands.append(f"sudo chown {os.geteuid()} {shlex.quote(folder)}")
        elif _others_can_write(folder) and not os.stat(folder).st_mode & stat.S_ISVTX:
            findings.append(f"{folder} can be written by others, who can replace {path}")
            commands.append(f"chmod go-w {shlex.quote(folder)}")
    with_url = _files_with_a_url(settings)
    for path in (*map(settings.state_file, NAMES), settings.client_secret_file, *with_url):
        if path and _others_can_read(path):
            secret = ", and PING_URL is a secret" if path in with_url else ""
            findings.append(f"{path} can be read or written by others{secret}")
            commands.append(f"chmod 600 {shlex.quote(path)}")
    if findings:
        raise ConfigurationProblem(
            "Files that hold secrets, or are run, are open to other users of this machine",
            details=tuple(findings),
            remedy="\n".join(("Run:", *commands)),
        )


def _files_with_a_url(settings: Settings) -> list[str]:
    """The files of settings that may hold PING_URL, with which anyone can report that all is well."""
    if not settings.ping_url:
        return []
    is_local = settings.local_file and "PING_URL" not in settings.edited
    return [path for path in (settings.local_file, "" if is_local else settings.config_file) if path]


def _folders_of(settings: Settings) -> list[tuple[str, str]]:
    """The configuration and CODE_PATH, each with its folder; each folder once, and not CODE_PATH itself."""
    folders = {os.path.dirname(os.path.realpath(path)): path for path in (settings.code_path, settings.config_file)}
    return [(path, folder) for folder, path in folders.items() if folder != os.path.realpath(settings.code_path)]


def _another_owner(path: str) -> str:
    """The owner's name if it is neither this user nor root, otherwise ""."""
    try:
        owner = os.stat(path).st_uid
    except OSError:
        return ""  # another check reports that it is missing
    if owner in (0, os.geteuid()):
        return ""
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"user {owner}"


def _others_can_write(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False  # another check reports that it is missing
    mode = stat.S_IMODE(status.st_mode)
    return bool(mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _is_private_group(status)))


def _is_private_group(status: os.stat_result) -> bool:
    """Whether the group has no member but the owner. With the usual umask of RHEL every file is writable by it."""
    try:
        owner, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return owner.pw_gid == group.gr_gid and owner.pw_name == group.gr_name and set(group.gr_mem) <= {owner.pw_name}


def _others_can_read(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    if not stat.S_ISREG(status.st_mode):
        return False  # another check reports that it is not a file
    # This user can read a secret that root owns only through its group.
    forbidden = 0o037 if status.st_uid != os.geteuid() else 0o077
    return bool(stat.S_IMODE(status.st_mode) & forbidden)

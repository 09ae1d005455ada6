"""Who may read our secrets and write what we run: the modes of our own files."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat

from autotransfer.errors import ConfigurationProblem
from autotransfer.settings import Settings


def refuse_open_files(settings: Settings) -> None:
    """Make sure that no other user of this machine can read a secret or change what is run.

    Raises:
        ConfigurationProblem: Some can; with every file, and the commands that close them.
    """
    findings, commands = [], []
    for path in (settings.config_file, settings.code_path):
        if _others_can_write(path):
            findings.append(f"{path} can be written by others, and what they write would be run or trusted")
            commands.append(f"chmod go-w {shlex.quote(path)}")
    names = ("datastore", "tokens.db", "log", "log.1")
    for path in (*map(settings.state_file, names), settings.client_secret_file):
        if path and _others_can_read(path):
            findings.append(f"{path} can be read or written by others")
            commands.append(f"chmod 600 {shlex.quote(path)}")
    if findings:
        raise ConfigurationProblem(
            "Files that hold secrets, or are run, are open to other users of this machine",
            details=tuple(findings),
            remedy="\n".join(("Run:", *commands)),
        )


def _others_can_write(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False  # another check says that it is missing
    mode = stat.S_IMODE(status.st_mode)
    return bool(mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _is_private_group(status)))


def _is_private_group(status: os.stat_result) -> bool:
    """Whether the group is the owner's alone: with the usual umask of RHEL every file is group-writable so."""
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
        return False  # another check says that it is no file
    # A secret that root owns can reach this user by its group only.
    forbidden = 0o037 if status.st_uid != os.geteuid() else 0o077
    return bool(stat.S_IMODE(status.st_mode) & forbidden)

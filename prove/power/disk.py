"""The states of a disk after a power cut: what was synced, and any part of what was not. Touches no files."""

from __future__ import annotations

import random

from prove.native import Call

SECTORS_BYTES = (512, 4096)
WATCHED = "datastore"


class _File:
    """A file's content as it was last synced, and as it was after each change since."""

    def __init__(self, content: bytes = b"") -> None:
        self.versions = [content]

    def change(self, content: bytes) -> None:
        self.versions.append(content)

    def write(self, offset: int, piece: bytes) -> None:
        content = self.versions[-1].ljust(offset, b"\0")
        self.change(content[:offset] + piece + content[offset + len(piece) :])

    def truncate(self, length: int) -> None:
        self.change(self.versions[-1][:length].ljust(length, b"\0"))

    def sync(self) -> None:
        self.versions = self.versions[-1:]

    def after_cut(self, chance: random.Random) -> bytes:
        """One of the contents it may have: of each sector any version since the sync, or of all the same one."""
        how = chance.choice(("nothing", "everything", "up to a moment", "sectors", "sectors"))
        if how != "sectors" or len(self.versions) == 1:
            return {"nothing": self.versions[0], "everything": self.versions[-1]}.get(how) or chance.choice(
                self.versions
            )
        sector_bytes = chance.choice(SECTORS_BYTES)
        # The length of the file is written by itself too; space that was never written holds whatever was there.
        length = len(chance.choice(self.versions))
        filler = chance.choice((bytes(sector_bytes), chance.randbytes(sector_bytes)))
        sectors = []
        for start in range(0, length, sector_bytes):
            sector = chance.choice(self.versions)[start : start + sector_bytes]
            sectors.append(sector + filler[len(sector) :])
        return b"".join(sectors)[:length]


class Disk:
    """The datastore and its journal on a disk, as the calls of scripts leave them.

    What is assumed: a sector is written whole or not at all; what was synced stays; a file's name, its length and its
    sectors are written in any order until the file and its folder are synced.

    Args:
        files: What is there, synced.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self._names = {name: _File(content) for name, content in files.items()}
        self._changes: dict[str, list[_File | None]] = {}

    def apply(self, call: Call) -> None:
        """Let a call have its effect; those on other files have none."""
        if call.when != "after":
            return
        if call.kind == "sync .":
            for name, changes in self._changes.items():
                self._settle(name, changes[-1])
            self._changes = {}
        elif call.name.startswith(WATCHED):
            self._apply(call)

    def _settle(self, name: str, file: _File | None) -> None:
        if file is None:
            self._names.pop(name, None)
        else:
            self._names[name] = file

    def _apply(self, call: Call) -> None:
        if call.call in ("create", "unlink"):
            self._changes.setdefault(call.name, []).append(_File() if call.call == "create" else None)
            return
        file = self._file(call.name)
        assert file is not None, f"{call.kind}, but there is no such file"
        if call.call == "pwrite":
            file.write(call.number, call.content)
        elif call.call == "ftruncate" or (call.call == "open" and call.number):
            file.truncate(call.number if call.call == "ftruncate" else 0)
        elif call.call == "sync":
            file.sync()
        else:
            assert call.call == "open", f"{call.kind} is not understood"

    def _file(self, name: str) -> _File | None:
        changes = self._changes.get(name)
        return changes[-1] if changes else self._names.get(name)

    def now(self) -> dict[str, bytes]:
        """The bytes that a running system reads."""
        files = {name: self._file(name) for name in {*self._names, *self._changes}}
        return {name: file.versions[-1] for name, file in sorted(files.items()) if file is not None}

    def after_cut(self, chance: random.Random) -> dict[str, bytes]:
        """One of the states that the disk may be in if its power is cut now."""
        files = dict(self._names)
        for name, changes in self._changes.items():
            survived = chance.choice((0, len(changes), chance.randint(0, len(changes))))
            if survived and (file := changes[survived - 1]) is not None:
                files[name] = file
            elif survived:
                files.pop(name, None)
        return {name: file.after_cut(chance) for name, file in sorted(files.items())}

"""Files: when two count as the same, copying, comparing, and the faults that a file system raises."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator

CHUNK_BYTES = 1 << 20
_EVERY_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_EVERY_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_EVERY_SEARCH = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH

_CODES = {
    errno.ENOENT: "FILE_NOT_FOUND",
    errno.EACCES: "PERMISSION_DENIED",
    errno.EPERM: "PERMISSION_DENIED",
    errno.EROFS: "PERMISSION_DENIED",
    errno.ENOTDIR: "NOT_A_DIRECTORY",
    errno.EISDIR: "IS_A_DIRECTORY",
    errno.EEXIST: "IS_A_FILE",
    errno.ENOSPC: "NO_SPACE_LEFT",
    errno.EDQUOT: "QUOTA_EXCEEDED",
    errno.ENAMETOOLONG: "INVALID_PATH_NAME",
    errno.EILSEQ: "INVALID_PATH_NAME",
    errno.EINVAL: "INVALID_PATH_NAME",
    errno.ELOOP: "INVALID_SYMLINK",
}


class ItemFault(Exception):
    """A path could not be processed. The task goes on with others and retries it.

    Attributes:
        code: An event code.
        is_at_source: Whether the source is to blame; only then skip_source_errors applies.
    """

    def __init__(self, code: str, details: str, *, is_at_source: bool) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details
        self.is_at_source = is_at_source


def fault_of(error: OSError, *, is_at_source: bool) -> ItemFault:
    """The fault that an error of the file system stands for."""
    code = _CODES.get(error.errno or 0, "ENDPOINT_ERROR")
    return ItemFault(code, error.strerror or str(error), is_at_source=is_at_source)


def _denied(path: bytes, *, is_at_source: bool) -> ItemFault:
    return ItemFault("PERMISSION_DENIED", f"Permission denied: {os.fsdecode(path)!r}", is_at_source=is_at_source)


class Permissions:
    """Permission as an ordinary user has it, also when the emulator runs as root: a bit that is not set grants nothing.

    Looks at modes only, and remembers which directories can be searched; make a new one to look afresh.
    """

    def __init__(self) -> None:
        self._searchable: dict[bytes, bool] = {}

    def check_readable(self, path: bytes, status: os.stat_result) -> None:
        """Refuse a source without read permission, or in a directory without search permission."""
        needed = [_EVERY_READ, _EVERY_SEARCH] if stat.S_ISDIR(status.st_mode) else [_EVERY_READ]
        if not all(status.st_mode & bits for bits in needed):
            raise _denied(path, is_at_source=True)

    def check_searchable(self, path: bytes, *, is_at_source: bool) -> None:
        """Refuse a path below a directory without search permission."""
        if not self._is_searchable(os.path.dirname(path)):
            raise _denied(path, is_at_source=is_at_source)

    def _is_searchable(self, directory: bytes) -> bool:
        unknown = []
        while directory not in self._searchable and os.path.dirname(directory) != directory:
            unknown.append(directory)
            directory = os.path.dirname(directory)
        is_searchable = self._searchable.get(directory, True)
        for folder in reversed(unknown):
            if is_searchable:
                try:
                    is_searchable = bool(os.stat(folder).st_mode & _EVERY_SEARCH)
                except OSError:
                    is_searchable = True  # missing: whoever opens it says so better
            self._searchable[folder] = is_searchable
        return is_searchable

    def check_writable(self, path: bytes) -> None:
        """Refuse a destination without write permission: the file itself, or the directory it would be made in."""
        try:
            status = os.stat(path)
        except OSError:
            try:
                status = os.stat(os.path.dirname(path))
            except OSError:
                return  # missing: whoever opens it says so better
        if not status.st_mode & _EVERY_WRITE:
            raise _denied(path, is_at_source=False)


def must_copy(level: int | None, source: os.stat_result, destination: bytes) -> bool | None:
    """Whether a sync level wants a file copied; None when that takes a comparison of contents.

    Higher levels hold the checks of lower ones; times are compared in whole seconds (documented).
    """
    if level is None:
        return True
    try:
        present = os.stat(destination)
    except OSError:
        return True
    if level == 0:
        return False
    if source.st_size != present.st_size:
        return True
    if level == 1:
        return False
    if level == 2:
        return source.st_mtime_ns // 1_000_000_000 > present.st_mtime_ns // 1_000_000_000
    return None


def copy_bytes(source: bytes, destination: bytes, stop_after_bytes: int | None = None) -> Iterator[int]:
    """Copy a file in place, chunk by chunk; yields the size of each chunk once it is written.

    A hole is one chunk however large it is, and becomes a hole. Stopped in the middle (by `stop_after_bytes`, or by
    closing the iterator) it leaves what it has written.

    Raises:
        ItemFault: The file system refused.
    """
    reader = writer = -1
    try:
        try:
            reader = os.open(source, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise fault_of(error, is_at_source=True) from None
        try:
            writer = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        except OSError as error:
            raise fault_of(error, is_at_source=False) from None
        at = 0
        while stop_after_bytes is None or at < stop_after_bytes:
            hole_end = _data_from(reader, at)
            if stop_after_bytes is not None:
                hole_end = min(hole_end, stop_after_bytes)
            if hole_end > at:
                _skip(writer, hole_end)
                yield hole_end - at
                at = hole_end
                continue
            want_bytes = CHUNK_BYTES if stop_after_bytes is None else min(CHUNK_BYTES, stop_after_bytes - at)
            chunk = _read(reader, at, want_bytes)
            if not chunk:
                return
            _write(writer, chunk)
            at += len(chunk)
            yield len(chunk)
    finally:
        for descriptor in (reader, writer):
            if descriptor >= 0:
                os.close(descriptor)


def _data_from(descriptor: int, at: int) -> int:
    """Where data begins, from `at` on; the end when only a hole is left, `at` where the system knows no holes."""
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError as error:
        return max(at, os.fstat(descriptor).st_size) if error.errno == errno.ENXIO else at


def _skip(descriptor: int, to: int) -> None:
    """Leave a hole."""
    try:
        os.ftruncate(descriptor, to)
        os.lseek(descriptor, to, os.SEEK_SET)
    except OSError as error:
        raise fault_of(error, is_at_source=False) from None


def _read(descriptor: int, at: int, count: int) -> bytes:
    try:
        return os.pread(descriptor, count, at)
    except OSError as error:
        raise fault_of(error, is_at_source=True) from None


def _write(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except OSError as error:
            raise fault_of(error, is_at_source=False) from None


def compare_content(source: bytes, destination: bytes) -> tuple[bool, str | None]:
    """Whether two files hold the same bytes, and the MD5 of the source if they do and it has no hole.

    Both are read, except where both have a hole.

    Raises:
        ItemFault: One of them cannot be read.
    """
    try:
        with open(source, "rb", buffering=0) as left:
            try:
                with open(destination, "rb", buffering=0) as right:
                    at, digest, has_holes = 0, hashlib.md5(usedforsecurity=False), False
                    while True:
                        data_at = min(_data_from(left.fileno(), at), _data_from(right.fileno(), at))
                        at, has_holes = data_at, has_holes or data_at > at
                        chunk = os.pread(left.fileno(), CHUNK_BYTES, at)
                        if chunk != os.pread(right.fileno(), CHUNK_BYTES, at):
                            return False, None
                        if not chunk:
                            return True, None if has_holes else digest.hexdigest()
                        digest.update(chunk)
                        at += len(chunk)
            except OSError as error:
                raise fault_of(error, is_at_source=False) from None
    except OSError as error:
        raise fault_of(error, is_at_source=True) from None


def checksum(path: bytes, algorithm: str) -> str:
    """A file's checksum in lower-case hexadecimal digits.

    Raises:
        ValueError: No such algorithm.
    """
    digest = hashlib.new(algorithm.lower().replace("-", ""))
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


def flip_a_byte(path: bytes) -> None:
    """Damage a file: one byte in its middle changes."""
    size_bytes = os.stat(path).st_size
    if size_bytes == 0:
        return
    with open(path, "r+b") as file:
        file.seek(size_bytes // 2)
        byte = file.read(1)
        file.seek(size_bytes // 2)
        file.write(bytes([byte[0] ^ 0xFF]))


def keep_timestamp(source: os.stat_result, destination: bytes) -> None:
    """Give a copy its source's time, in whole seconds."""
    mtime_ns = source.st_mtime_ns // 1_000_000_000 * 1_000_000_000
    os.utime(destination, ns=(mtime_ns, mtime_ns))


def used_bytes(root: bytes) -> int:
    """The sizes of all regular files below a folder, added up."""
    total = 0
    for directory, _, names in os.walk(root):
        for name in names:
            try:
                status = os.lstat(os.path.join(directory, name))
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                total += status.st_size
    return total


def size_bytes(path: bytes) -> int:
    """A file's size; 0 when there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0

"""Errors of the library as exceptions: one class for each thing that a caller does about them."""

from typing import Dict, Tuple, Type

from ._c import Status as Status

NO_OFFSET = 2**64 - 1


class Error(Exception):
    """An error of the library.

    Attributes:
        status: What went wrong; a number if this package does not know it.
        offset: Where in the file, in bytes; None if the error is not about a place.
        errno: The error number of the operating system; 0 if there is none.
        missing: The symbols that loading did not find.
    """

    def __init__(self, message: str, status: int, offset: int = NO_OFFSET, errno: int = 0, missing: Tuple[str, ...] = ()) -> None:
        super().__init__(message)
        known = status in Status._value2member_map_
        self.status = Status(status) if known else status
        self.offset = None if offset == NO_OFFSET else offset
        self.errno = errno
        self.missing = missing


class InvalidArgument(Error, ValueError):
    """A call that makes no sense, whatever the file is."""


class FileError(Error):
    """The operating system refused; `errno` says why."""


class NotFound(Error, LookupError):
    """Nothing of that name or index is there."""


class NotAnArtifact(Error):
    """A file of something else: never overwrite it in a folder that others use."""


class Damaged(Error):
    """The file is cut or changed: make it again."""


class Incompatible(Error):
    """The file is sound, and not for this host: make it again."""


class Untrusted(Error):
    """No trusted key has signed the file: do not run it."""


class Unresolved(Error):
    """Symbols that neither the host nor the process defines; see `missing`."""


_CLASSES: Dict[int, Type[Error]] = {
    Status.INVALID_ARGUMENT: InvalidArgument,
    Status.IO: FileError,
    Status.NOT_FOUND: NotFound,
    Status.NOT_AN_ARTIFACT: NotAnArtifact,
    Status.TRUNCATED: Damaged,
    Status.CORRUPT: Damaged,
    Status.DIGEST_MISMATCH: Damaged,
    Status.INCOMPATIBLE: Incompatible,
    Status.WRONG_VERSION: Incompatible,
    Status.WRONG_PRODUCER: Incompatible,
    Status.UNSUPPORTED: Incompatible,
    Status.UNTRUSTED: Untrusted,
    Status.UNRESOLVED: Unresolved,
}


def error_of(status: int, message: str, offset: int, errno: int, missing: Tuple[str, ...]) -> Exception:
    """Returns the exception for an error of the library."""
    if status == Status.NO_MEMORY:
        return MemoryError(message)
    return _CLASSES.get(status, Error)(message, status, offset, errno, missing)

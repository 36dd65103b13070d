"""The C library: finding it, calling it, and turning its errors into exceptions."""

import ctypes
import os
from ctypes import byref, c_char_p, c_void_p
from pathlib import Path
from typing import Any, Callable, Optional, Union

from . import _c
from .errors import error_of

#: What may be passed as a path.
StrPath = Union[str, "os.PathLike[str]"]
#: What may be passed as bytes: anything with the buffer protocol.
Buffer = Union[bytes, bytearray, memoryview]


def _open() -> ctypes.CDLL:
    # A wheel carries the library; a package of a distribution uses the system's.
    own = Path(__file__).with_name("libartifact.so.0")
    library = ctypes.CDLL(str(own) if own.exists() else "libartifact.so.0")
    for name, (result, parameters) in _c.FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, parameters
    return library


library: Any = _open()


def text(value: Optional[bytes]) -> str:
    """Returns a text of the library as str. Bytes that are no UTF-8 are kept as surrogates, as in names of files."""
    return (value or b"").decode("utf-8", "surrogateescape")


def encoded(value: str) -> bytes:
    """Returns what `text` would turn into this."""
    return value.encode("utf-8", "surrogateescape")


def raise_error(error: c_void_p) -> None:
    """Raises an error of the library, and frees it."""
    try:
        missing = range(library.artifact_error_missing_count(error))
        raise error_of(
            library.artifact_error_status(error),
            text(library.artifact_error_message(error)),
            library.artifact_error_offset(error),
            library.artifact_error_errno(error),
            tuple(text(library.artifact_error_missing(error, index)) for index in missing),
        )
    finally:
        library.artifact_error_free(error)


def call(name: str, *arguments: Any) -> None:
    """Calls a function that can fail. `arguments` are all but the last one."""
    error = c_void_p()
    if getattr(library, name)(*arguments, byref(error)) != _c.Status.OK:
        raise_error(error)


class Handle:
    """Owns a handle of the library until nothing refers to this object any more."""

    def __init__(self, pointer: Optional[int], free: str) -> None:
        if not pointer:
            raise MemoryError("libartifact")
        self._as_parameter_ = c_void_p(pointer)
        # Kept here, since at the end of the interpreter the modules may be gone before this.
        self._free: Callable[[c_void_p], None] = getattr(library, free)

    def __del__(self) -> None:
        free = getattr(self, "_free", None)
        if free is not None:
            free(self._as_parameter_)


def make(name: str, free: str, *arguments: Any) -> Handle:
    """Calls a function that makes a handle, which is its last argument but one."""
    pointer = c_void_p()
    call(name, *arguments, byref(pointer))
    return Handle(pointer.value, free)


def buffer(name: str, *arguments: Any) -> bytes:
    """Calls a function that makes a buffer, and returns its bytes."""
    made = make(name, "artifact_buffer_free", *arguments)
    data = library.artifact_buffer_data(made)
    return ctypes.string_at(data, library.artifact_buffer_len(made))


def view(data: Optional[int], length: int, owner: Any) -> memoryview:
    """Returns bytes of the library without copying them. They keep their owner alive."""
    if not data or not length:
        return memoryview(b"")
    kind: Any = type("_View", (ctypes.c_uint8 * length,), {})
    array = kind.from_address(data)
    array._owner = owner
    return memoryview(array).cast("B").toreadonly()


def pointer_to(data: Buffer) -> Any:
    """Returns a pointer to bytes, valid as long as the returned object is there."""
    if isinstance(data, bytes):
        return ctypes.cast(c_char_p(data), c_void_p)
    return pointer_to(bytes(data))


def texts(values: "list[str]") -> Any:
    """Returns an array of texts for C."""
    return (c_char_p * len(values))(*[encoded(value) for value in values])

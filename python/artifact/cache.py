"""A cache of compiled code, in a folder that any number of processes share."""

import ctypes
import os
from ctypes import byref, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Union

from . import _c
from ._c import CacheOutcome as Outcome
from ._library import Handle, StrPath, call, encoded, library, make, pointer_to, raise_error, text
from .builder import Builder
from .engine import Engine
from .errors import Status
from .file import Artifact
from .keys import PrivateKey

#: What an entry is found by: bytes, a text, or parts by name.
Key = Union[bytes, str, Mapping[str, bytes]]


@dataclass(frozen=True)
class Entry:
    """An entry of the folder. `used` is in seconds since 1970, `size` in bytes of full blocks."""

    path: str
    key: bytes
    target: bytes
    size: int
    used: int


def _key(parts: Key) -> Handle:
    if isinstance(parts, str):
        parts = encoded(parts)
    key = Handle(library.artifact_cache_key_new(), "artifact_cache_key_free")
    named = parts if isinstance(parts, Mapping) else {"": parts}
    for name, part in named.items():
        call("artifact_cache_key_add", key, encoded(name), pointer_to(part), len(part))
    return key


class Cache:
    """Maps keys to artifacts. Any number of threads and processes may use one folder."""

    def __init__(
        self,
        folder: StrPath,
        engine: Optional[Engine] = None,
        *,
        max_bytes: int = 0,
        max_entries: int = 0,
        max_age: int = 0,
        wait: float = 0,
        read_only: bool = False,
        sync: bool = True,
        verify: bool = False,
        signing_key: Optional[PrivateKey] = None,
        layers: Optional[List[StrPath]] = None,
        on_event: Optional[Callable[[Outcome, str, str], None]] = None,
    ) -> None:
        """Opens a cache, and creates its folder.

        Args:
            folder: The cache's own folder.
            engine: The host that runs the code; this one by default. Its producer and version name the compiler.
            max_bytes: The size of all entries; 0 for 1 GiB. What was not used for longest goes first.
            max_entries: Their number; 0 for no limit.
            max_age: The seconds after its last use when an entry may go; 0 for no limit.
            wait: The seconds to wait for another process that makes the same entry; 0 for a minute.
            read_only: Write nothing.
            sync: Wait until the disk has what is stored.
            verify: Check every byte of each entry that is found.
            signing_key: Signs what is stored.
            layers: Folders or packs that are searched after the folder.
            on_event: Called with each outcome, the path that it happened to, and why. It must not use the cache.
        """
        options = _c.artifact_cache_options_t(size=ctypes.sizeof(_c.artifact_cache_options_t))
        options.flags = _c.CACHE_READ_ONLY * read_only | _c.CACHE_NO_SYNC * (not sync) | _c.CACHE_VERIFY_ALWAYS * verify
        options.max_bytes, options.max_entries, options.max_age_s = max_bytes, max_entries, max_age
        options.wait_ms = int(wait * 1000)
        options.signing_key = signing_key._as_parameter_._as_parameter_ if signing_key else None
        paths = (ctypes.c_char_p * len(layers or []))(*[os.fsencode(path) for path in layers or []])
        options.layers, options.layer_count = paths, len(paths)
        self._on_event: Any = None
        if on_event:
            told = on_event

            def event(_: Any, outcome: int, path: Optional[bytes], error: Optional[int]) -> None:
                why = text(library.artifact_error_message(error)) if error else ""
                told(Outcome(outcome), text(path), why)

            self._on_event = options.on_event = _c.artifact_cache_event_fn(event)
        self._as_parameter_ = make(
            "artifact_cache_open", "artifact_cache_free", os.fsencode(folder), engine or Engine.host(), byref(options)
        )

    def get_or_make(self, key: Key, make_it: Callable[[Builder], object]) -> Artifact:
        """Returns the artifact of a key. If there is none that fits, `make_it` adds modules to a builder, in one process at a time.

        An exception of `make_it` passes through, and nothing is stored.
        """
        raised: List[BaseException] = []

        def function(_: Any, builder: int, error: Any) -> int:
            try:
                make_it(Builder(_borrowed=builder))
            except BaseException as exception:  # also KeyboardInterrupt, which must not be lost in C
                raised.append(exception)
                return int(Status.INTERNAL)
            return int(_c.Status.OK)

        made, outcome, error = c_void_p(), c_uint32(), c_void_p()
        callback = _c.artifact_make_fn(function)
        status = library.artifact_cache_get_or_make(self, _key(key), callback, None, byref(made), byref(outcome), byref(error))
        if raised:
            library.artifact_error_free(error)
            raise raised[0]
        if status != _c.Status.OK:
            raise_error(error)
        return Artifact(Handle(made.value, "artifact_free"))

    def get(self, key: Key) -> Optional[Artifact]:
        """Returns the artifact of a key; None if there is none that fits, whatever the reason."""
        made, outcome = c_void_p(), c_uint32()
        call("artifact_cache_get", self, _key(key), byref(made), byref(outcome))
        return Artifact(Handle(made.value, "artifact_free")) if made.value else None

    def put(self, key: Key, builder: Builder) -> Artifact:
        """Stores what a builder has, and returns it."""
        made, outcome = c_void_p(), c_uint32()
        call("artifact_cache_put", self, _key(key), builder, byref(made), byref(outcome))
        return Artifact(Handle(made.value, "artifact_free"))

    def remove(self, key: Key) -> None:
        """Removes the entries of a key. That there are none is no error."""
        call("artifact_cache_remove", self, _key(key))

    def trim(self) -> int:
        """Deletes what exceeds the limits, and returns how many bytes that freed."""
        freed = c_uint64()
        call("artifact_cache_trim", self, byref(freed))
        return freed.value

    @property
    def entries(self) -> List[Entry]:
        """All entries of the folder."""
        found: List[Entry] = []

        def each(_: Any, entry: Any) -> int:
            of = entry.contents
            found.append(Entry(text(of.path), bytes(of.key), bytes(of.target), of.size, of.used))
            return 0

        call("artifact_cache_each", self, _c.artifact_cache_entry_fn(each), None)
        return found

    @property
    def counts(self) -> Dict[Outcome, int]:
        """How often each outcome was that of a call or an event, through this object."""
        return {outcome: library.artifact_cache_count(self, outcome) for outcome in Outcome}

    def check(self) -> None:
        """Raises why the folder cannot be used. Nothing else does: without a folder, all is made each time."""
        call("artifact_cache_trouble", self)

    def export(self, path: StrPath) -> None:
        """Writes all entries to one file, which `layers` takes."""
        call("artifact_cache_export", self, os.fsencode(path))

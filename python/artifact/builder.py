"""Making artifacts."""

import ctypes
import os
from ctypes import byref, c_size_t
from pathlib import Path
from typing import Any, Iterable, List, Mapping, Optional, Union

from . import _c
from ._library import Buffer, Handle, StrPath, buffer, call, encoded, library, make, pointer_to, texts
from .engine import Engine
from .file import Artifact
from .keys import PrivateKey

#: Objects to link: paths, or bytes by name.
Objects = Union[Iterable[StrPath], Mapping[str, Buffer]]


class _Saves:
    """What builders of one target and of several have in common."""

    _as_parameter_: Any
    _kind = ""

    def serialize(self) -> bytes:
        """Returns the file's bytes."""
        return buffer(f"artifact_{self._kind}serialize", self)

    def save(self, path: StrPath, *, sync: bool = True) -> None:
        """Saves to a file, atomically: readers see the old file whole, or the new one.

        Args:
            path: The file, which is replaced.
            sync: Wait until the disk has it, so that it survives a crash of the machine.
        """
        options = _c.artifact_save_options_t(size=ctypes.sizeof(_c.artifact_save_options_t))
        options.flags = 0 if sync else _c.SAVE_NO_SYNC
        call(f"artifact_{self._kind}serialize_to_file", self, os.fsencode(path), byref(options))


class Builder(_Saves):
    """Makes an artifact out of modules, compiled for an engine; or rewrites an artifact."""

    def __init__(self, source: Union[Engine, Artifact, None] = None, *, _borrowed: Optional[int] = None) -> None:
        self._kept: List[Any] = []
        if _borrowed is not None:  # of the library, in a call of ours
            self._as_parameter_ = ctypes.c_void_p(_borrowed)
        elif isinstance(source, Artifact):
            name = "artifact_builder_new_from_artifact"
            self._as_parameter_ = make(name, "artifact_builder_free", source._handle)
        else:
            engine = source or Engine()
            self._as_parameter_ = make("artifact_builder_new", "artifact_builder_free", engine)

    def add_module(self, elf: Buffer) -> int:
        """Adds an ELF image as a module, and returns its index."""
        data, index = bytes(elf), c_size_t()
        call("artifact_builder_add_module", self, pointer_to(data), len(data), byref(index))
        self._kept.append(data)  # the builder borrows it
        return index.value

    def add_objects(
        self,
        objects: Objects,
        *,
        entries: Optional[List[str]] = None,
        gc_sections: bool = False,
        debug: bool = True,
        whole_archive: bool = False,
    ) -> int:
        """Links relocatable objects and archives into a module that can be loaded, and returns its index.

        Compile them as position-independent code: `-fPIC`; LLVM's `Reloc::PIC_` with `CodeModel::Small`, which llvmlite calls
        `reloc='pic', codemodel='small'`.

        Args:
            objects: Paths, or bytes by name.
            entries: The functions that are called; of archives, only members that they need are linked.
            gc_sections: Leave out sections that nothing refers to, from `entries` on.
            debug: Keep debug information.
            whole_archive: Link every member of archives.
        """
        if isinstance(objects, Mapping):
            named = [(name, bytes(data)) for name, data in objects.items()]
        else:
            named = [(os.fspath(path), Path(path).read_bytes()) for path in objects]
        array = (_c.artifact_object_t * len(named))()
        for entry, (name, data) in zip(array, named):
            entry.name, entry.data, entry.len = encoded(name), pointer_to(data), len(data)
        options = _c.artifact_link_options_t(size=ctypes.sizeof(_c.artifact_link_options_t))
        options.flags = _c.LINK_NO_DEBUG * (not debug) | _c.LINK_GC_SECTIONS * gc_sections | _c.LINK_WHOLE_ARCHIVE * whole_archive
        wanted = texts(entries or [])
        options.entries, options.entry_count = wanted, len(entries or [])
        index = c_size_t()
        call("artifact_builder_add_objects", self, array, len(named), byref(options), byref(index))
        return index.value

    def set_attribute(self, name: str, value: bytes) -> None:
        """Stores bytes of your own in the file."""
        call("artifact_builder_set_attribute", self, encoded(name), pointer_to(value), len(value))

    def unset_attribute(self, name: str) -> None:
        """Removes an attribute."""
        call("artifact_builder_unset_attribute", self, encoded(name))

    def add_key(self, key: PrivateKey) -> None:
        """Signs the file with a key when it is written."""
        call("artifact_builder_add_key", self, key)

    def set_trailer(self, trailer: bool) -> None:
        """Sets whether digests, attributes and signatures are written. Wasmtime 0.33 reads both."""
        call("artifact_builder_set_trailer", self, trailer)


class FatBuilder(_Saves):
    """Makes one file of artifacts for several targets, of which each host gets the best that fits it."""

    _kind = "fat_"

    def __init__(self) -> None:
        self._as_parameter_ = Handle(library.artifact_fat_builder_new(), "artifact_fat_builder_free")

    def add(self, variant: Union[Builder, Artifact], score: int = 0) -> int:
        """Adds a variant, and returns its number. Of several that fit, the one with the highest score is the best."""
        index = c_size_t()
        if isinstance(variant, Artifact):
            call("artifact_fat_builder_add_artifact", self, variant._handle, score, byref(index))
        else:
            call("artifact_fat_builder_add", self, variant, score, byref(index))
        return index.value

    def add_key(self, key: PrivateKey) -> None:
        """Signs the index, which binds all variants, when the file is written."""
        call("artifact_fat_builder_add_key", self, key)


def pack(objects: Objects, engine: Optional[Engine] = None, **options: Any) -> Builder:
    """A builder with objects linked into one module; see `Builder.add_objects`."""
    builder = Builder(engine)
    builder.add_objects(objects, **options)
    return builder

"""Opened artifacts: what is in them, and whether it fits."""

import ctypes
import os
from ctypes import byref, c_char_p, c_size_t
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Dict, Iterator, List, Optional, Tuple, Type, Union

from . import _c
from ._c import Integrity
from ._library import Buffer, Handle, StrPath, buffer, call, encoded, library, make, pointer_to, text, view
from .code import Code, load
from .engine import Engine, Flag, flag_value
from .errors import Error, InvalidArgument, Status
from .keys import PrivateKey


@dataclass(frozen=True)
class Finding:
    """An entry of a report.

    Attributes:
        kind: What it is about, as ARTIFACT_REPORT_ numbers it.
        setting: The setting or part.
        artifact: What the artifact has.
        engine: What the engine has.
        sentence: All of it as a sentence.
    """

    kind: int
    setting: str
    artifact: str
    engine: str
    sentence: str


@dataclass(frozen=True)
class Section:
    """A section of a module. `bytes` is a view of the file, and empty for a section without bytes."""

    name: str
    bytes: memoryview
    offset: int
    size: int
    align: int
    address: int
    flags: int
    type: int


@dataclass(frozen=True)
class Symbol:
    """A symbol of a module, with the numbers of ELF."""

    name: str
    value: int
    size: int
    section: int
    type: int
    binding: int


@dataclass(frozen=True)
class Variant:
    """One of several targets in a file."""

    target: str
    needs: Tuple[str, ...]
    offset: int
    length: int
    score: int
    added: int


def findings(handle: Handle) -> List[Finding]:
    """Returns the entries of a report."""
    found = []
    for index in range(library.artifact_report_count(handle)):
        entry = _c.artifact_report_entry_t()
        call("artifact_report_at", handle, index, byref(entry))
        texts = (entry.setting, entry.artifact_value, entry.engine_value, entry.sentence)
        found.append(Finding(entry.kind, *map(text, texts)))
    return found


class Module:
    """A module of an artifact."""

    def __init__(self, artifact: "Artifact", index: int) -> None:
        self.index = index
        self._artifact = artifact._handle
        found = _c.artifact_module_t()
        call("artifact_module", self._artifact, index, byref(found))
        self.bytes = view(found.bytes.data, found.bytes.len, self._artifact)
        """The ELF image: a view of the file."""
        self.offset, self.align = found.offset, found.align
        self.machine, self.type = found.machine, found.type
        self.big_endian = found.byte_order == _c.ByteOrder.BIG_ENDIAN

    def _section(self, found: _c.artifact_section_t) -> Section:
        data = view(found.bytes.data, found.bytes.len, self._artifact)
        return Section(text(found.name), data, found.offset, found.size, found.align, found.address, found.flags, found.type)

    @property
    def sections(self) -> List[Section]:
        """All sections, in the order of the file."""
        count = c_size_t()
        call("artifact_section_count", self._artifact, self.index, byref(count))
        all_of_them = []
        for index in range(count.value):
            found = _c.artifact_section_t()
            call("artifact_section_at", self._artifact, self.index, index, byref(found))
            all_of_them.append(self._section(found))
        return all_of_them

    def section(self, name: str) -> Section:
        """The first section of this name. Raises NotFound."""
        found = _c.artifact_section_t()
        call("artifact_section", self._artifact, self.index, encoded(name), byref(found))
        return self._section(found)

    @property
    def symbols(self) -> List[Symbol]:
        """All symbols, the null symbol first."""
        count = c_size_t()
        call("artifact_symbol_count", self._artifact, self.index, byref(count))
        all_of_them = []
        for index in range(count.value):
            found = _c.artifact_symbol_t()
            call("artifact_symbol_at", self._artifact, self.index, index, byref(found))
            all_of_them.append(Symbol(text(found.name), found.value, found.size, found.section, found.type, found.binding))
        return all_of_them


class Artifact:
    """An opened artifact; see `artifact.open`. Views of its bytes stay valid after `close`."""

    def __init__(self, handle: Handle) -> None:
        self.__handle: Optional[Handle] = handle

    @property
    def _handle(self) -> Handle:
        if self.__handle is None:
            raise InvalidArgument("artifact: expected an open one, found a closed one", Status.INVALID_ARGUMENT)
        return self.__handle

    def close(self) -> None:
        """Closes the artifact. Code that was loaded from it stays."""
        self.__handle = None

    def __enter__(self) -> "Artifact":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    @property
    def producer(self) -> str:
        """Who compiled it."""
        return text(library.artifact_producer(self._handle))

    @property
    def version(self) -> bytes:
        """The producer's version: any bytes."""
        found = library.artifact_producer_version(self._handle)
        return ctypes.string_at(found.data, found.len) if found.len else b""

    @property
    def target(self) -> str:
        """The target triple."""
        found = c_char_p()
        call("artifact_target", self._handle, byref(found))
        return text(found.value)

    def __len__(self) -> int:
        """The length in bytes."""
        return int(library.artifact_file_len(self._handle))

    def _flags(self, which: int) -> Dict[str, Flag]:
        count = c_size_t()
        call("artifact_flag_count", self._handle, which, byref(count))
        found = {}
        for index in range(count.value):
            flag = _c.artifact_flag_t()
            call("artifact_flag_at", self._handle, which, index, byref(flag))
            found[text(flag.name)] = flag_value(flag)
        return found

    @property
    def flags(self) -> Dict[str, Flag]:
        """The compiler's flags that do not depend on the architecture."""
        return self._flags(_c.FlagMap.SHARED)

    @property
    def isa_flags(self) -> Dict[str, Flag]:
        """The instruction sets that the code needs, and other flags of the architecture."""
        return self._flags(_c.FlagMap.ISA)

    @property
    def attributes(self) -> Dict[str, bytes]:
        """The embedder's own bytes, by name."""
        count = c_size_t()
        call("artifact_attribute_count", self._handle, byref(count))
        found = {}
        for index in range(count.value):
            name, value = c_char_p(), _c.artifact_slice_t()
            call("artifact_attribute_at", self._handle, index, byref(name), byref(value))
            found[text(name.value)] = ctypes.string_at(value.data, value.len) if value.len else b""
        return found

    @property
    def modules(self) -> List[Module]:
        """All modules. The main one is the last."""
        return [Module(self, index) for index in range(library.artifact_module_count(self._handle))]

    @property
    def main_module(self) -> Module:
        """The main module."""
        return Module(self, library.artifact_main_module(self._handle))

    @property
    def variants(self) -> List[Variant]:
        """The targets in the file, in the order in which an engine tries them. A file of one target has one."""
        return list(self._variants())

    def _variants(self) -> Iterator[Variant]:
        for index in range(library.artifact_variant_count(self._handle)):
            found = _c.artifact_variant_t()
            call("artifact_variant_at", self._handle, index, byref(found))
            needs = []
            for number in range(found.needs):
                need = c_char_p()
                call("artifact_variant_need_at", self._handle, index, number, byref(need))
                needs.append(text(need.value))
            yield Variant(text(found.target), tuple(needs), found.offset, found.length, found.score, found.added)

    @property
    def variant(self) -> int:
        """Which of `variants` this is."""
        return int(library.artifact_variant_chosen(self._handle))

    @property
    def integrity(self) -> Integrity:
        """How the bytes are protected."""
        return Integrity(library.artifact_integrity(self._handle))

    @property
    def signed_by(self) -> Optional[bytes]:
        """The trusted key whose signature was verified when the file was opened; None if no key was trusted."""
        key = _c.artifact_public_key_t()
        try:
            call("artifact_signed_by", self._handle, byref(key))
        except Error as error:
            if error.status != Status.NOT_FOUND:
                raise
            return None
        return bytes(key.bytes)

    def check(self, engine: Engine) -> None:
        """Raises Incompatible, with the first mismatch as the message, unless the code fits the engine."""
        call("artifact_check_compat", self._handle, engine)

    def _report(self, name: str, *arguments: Any) -> List[Finding]:
        return findings(make(name, "artifact_report_free", self._handle, *arguments))

    def report(self, engine: Engine) -> List[Finding]:
        """Every mismatch between the code and an engine; none if it fits."""
        return self._report("artifact_compat_report", engine)

    def host_report(self) -> List[Finding]:
        """Every reason for which this host cannot run the code, whoever made it; none if it can."""
        return self._report("artifact_host_report")

    def verify(self) -> List[Finding]:
        """Verifies all digests, bounds, links and tables. Raises Damaged; returns oddities that are no damage."""
        return self._report("artifact_verify")

    def sign(self, key: PrivateKey) -> bytes:
        """Makes a detached signature, for `open(signature=…)`."""
        return buffer("artifact_sign", self._handle, key)

    def load(self, engine: Optional[Engine] = None, **options: Any) -> Code:
        """Maps the code, so that it can be called; see `artifact.code.load` for the options.

        Nothing can check what machine code does when it runs: load only what you trust.
        """
        return load(self._handle, engine or Engine.host(), **options)


def open(  # as in gzip and other modules
    source: Union[StrPath, Buffer, int],
    engine: Optional[Engine] = None,
    *,
    trust: Union[str, List[str], None] = None,
    signature: bytes = b"",
    verify: bool = False,
    copy: bool = False,
    read: bool = False,
    offset: int = 0,
    length: int = 0,
    memory_limit: int = 0,
    variant: Optional[int] = None,
    require_best: bool = False,
) -> Artifact:
    """Opens an artifact.

    Args:
        source: A path, an open descriptor, or bytes, which are copied.
        engine: What must accept the producer and version, and chooses among several targets; None to look into any file.
        trust: Public keys as PEM, with which the engine trusts one more. Only a file that a trusted key has signed opens.
        signature: Detached signatures.
        verify: Verify every byte as well.
        copy: Copy the file to private memory, which nobody can change.
        read: Read modules instead of mapping them, so that truncating the file cannot kill the process.
        offset, length: The part of the file; a length of 0 means up to its end.
        memory_limit: The most bytes of settings to accept; 0 for the library's limit.
        variant: Open this one of several targets.
        require_best: Fail unless the best variant for the engine's target fits.

    Raises:
        Error: One of the classes in `artifact.errors`.
    """
    if trust:
        if engine is None:
            message = "trust: expected an engine, which gets the keys, found none"
            raise InvalidArgument(message, Status.INVALID_ARGUMENT)
        engine = engine.clone()
        for pem in [trust] if isinstance(trust, str) else trust:
            engine.trust(pem)
    options = _c.artifact_open_options_t(size=ctypes.sizeof(_c.artifact_open_options_t))
    options.flags = (
        _c.OPEN_VERIFY * verify
        | _c.OPEN_COPY * copy
        | _c.OPEN_READ * read
        | _c.OPEN_VARIANT * (variant is not None)
        | _c.OPEN_REQUIRE_BEST * require_best
    )
    options.offset, options.length, options.memory_limit = offset, length, memory_limit
    options.variant = variant or 0
    detached = pointer_to(signature)
    options.signature, options.signature_len = detached, len(signature)
    name, arguments = _source(source)
    made = make(name, "artifact_free", *arguments, engine, byref(options))
    return Artifact(made)


def _source(source: Union[StrPath, Buffer, int]) -> Tuple[str, Tuple[Any, ...]]:
    if isinstance(source, int):
        return "artifact_open_fd", (source,)
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        return "artifact_open_bytes", (pointer_to(data), len(data))
    return "artifact_open_file", (os.fsencode(source),)

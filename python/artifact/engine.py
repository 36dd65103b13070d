"""Engines: the settings that code is compiled for, and the keys that are trusted."""

import ctypes
from ctypes import byref
from typing import Any, Dict, List, Optional, Union

from . import _c
from ._library import Handle, buffer, call, encoded, library, make, text

#: The value of a flag: a switch, a number, or a word.
Flag = Union[bool, int, str]


def flag_value(flag: Any) -> Flag:
    """Returns the value of an artifact_flag_t."""
    if flag.kind == _c.FlagKind.BOOL:
        return bool(flag.value)
    return int(flag.value) if flag.kind == _c.FlagKind.NUM else text(flag.text)


class Engine:
    """The settings that a host compiles with.

    `Engine()` is the baseline of this machine, to which a compiler adds its flags; `Engine.host()` is this very CPU, which code is
    checked against before it runs. An engine may be used by any number of threads as long as none changes it.
    """

    def __init__(self, handle: Optional[Handle] = None) -> None:
        self._as_parameter_ = handle or Handle(library.artifact_engine_new(), "artifact_engine_free")

    @classmethod
    def host(cls) -> "Engine":
        """The engine with every feature of this CPU."""
        return cls(Handle(library.artifact_engine_new_host(), "artifact_engine_free"))

    @classmethod
    def wasmtime(cls) -> "Engine":
        """The engine with the default settings of Wasmtime 0.33."""
        return cls(Handle(library.artifact_engine_new_wasmtime(), "artifact_engine_free"))

    @classmethod
    def from_json(cls, json: str) -> "Engine":
        """An engine from the text of `to_json` or of `artifact engine`."""
        return cls(make("artifact_engine_from_json", "artifact_engine_free", encoded(json)))

    def to_json(self) -> str:
        """All settings as JSON."""
        return text(buffer("artifact_engine_to_json", self))

    def clone(self) -> "Engine":
        """An engine of the same settings."""
        return Engine(Handle(library.artifact_engine_clone(self), "artifact_engine_free"))

    def for_host(self) -> "Engine":
        """An engine of the same settings, with the features of this CPU: what to check code against that this engine's compiler made."""
        return Engine(Handle(library.artifact_engine_clone_for_host(self), "artifact_engine_free"))

    @property
    def target(self) -> str:
        """The target triple."""
        return text(library.artifact_engine_target(self))

    @target.setter
    def target(self, triple: str) -> None:
        call("artifact_engine_set_target", self, encoded(triple))

    @property
    def producer(self) -> str:
        """Who compiles: at most 32 letters, digits and signs."""
        return text(library.artifact_engine_producer(self))

    @producer.setter
    def producer(self, name: str) -> None:
        call("artifact_engine_set_producer", self, encoded(name))

    @property
    def version(self) -> str:
        """The version that is written, and that is accepted."""
        return text(library.artifact_engine_version(self))

    @version.setter
    def version(self, version: str) -> None:
        call("artifact_engine_set_version_rule", self, _c.VersionRule.CUSTOM, encoded(version))

    def accept_any_version(self) -> None:
        """Writes no version, and accepts any."""
        call("artifact_engine_set_version_rule", self, _c.VersionRule.NONE, None)

    def set_cpu(self, names: str) -> None:
        """Replaces the features by those of a CPU: `native`, LLVM's names, levels and features: `x86-64-v3,aes`."""
        call("artifact_engine_set_cpu", self, encoded(names))

    def _flags(self, which: int) -> Dict[str, Flag]:
        found = {}
        for index in range(library.artifact_engine_flag_count(self, which)):
            flag = _c.artifact_flag_t()
            call("artifact_engine_flag_at", self, which, index, byref(flag))
            found[text(flag.name)] = flag_value(flag)
        return found

    @property
    def flags(self) -> Dict[str, Flag]:
        """The compiler's flags that do not depend on the architecture."""
        return self._flags(_c.FlagMap.SHARED)

    @property
    def isa_flags(self) -> Dict[str, Flag]:
        """The instruction sets and other flags of the architecture."""
        return self._flags(_c.FlagMap.ISA)

    def set_flag(self, name: str, value: Flag, *, isa: bool = False) -> None:
        """Sets a flag: a switch, a number from 0 to 255, or a word."""
        which, key = _c.FlagMap.ISA if isa else _c.FlagMap.SHARED, encoded(name)
        if isinstance(value, bool):
            call("artifact_engine_set_flag_bool", self, which, key, value)
        elif isinstance(value, int):
            if not 0 <= value <= 255:
                raise ValueError(f"flag: expected a number from 0 to 255, found {value}")
            call("artifact_engine_set_flag_num", self, which, key, value)
        else:
            call("artifact_engine_set_flag_enum", self, which, key, encoded(value))

    def unset_flag(self, name: str, *, isa: bool = False) -> None:
        """Removes a flag."""
        call("artifact_engine_unset_flag", self, _c.FlagMap.ISA if isa else _c.FlagMap.SHARED, encoded(name))

    def trust(self, pem: str) -> None:
        """Trusts a public key: from then on, only files signed by a trusted key open."""
        call("artifact_engine_trust_key", self, encoded(pem))

    @property
    def trusted_keys(self) -> List[bytes]:
        """The trusted public keys, 32 bytes each."""
        keys = []
        for index in range(library.artifact_engine_trusted_key_count(self)):
            key = _c.artifact_public_key_t()
            call("artifact_engine_trusted_key_at", self, index, byref(key))
            keys.append(bytes(key.bytes))
        return keys

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that are equal for engines that accept the same code."""
        found = (ctypes.c_uint8 * 32)()
        call("artifact_engine_fingerprint", self, found)
        return bytes(found)

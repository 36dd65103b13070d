"""Compiled code, saved once: artifacts, their signatures, and a cache.

    >>> import artifact
    >>> host = artifact.Engine.host()
    >>> with artifact.open("fib.artifact", host) as file:
    ...     fib = file.load(host).function("fib", ctypes.c_int64, ctypes.c_int64)
    >>> fib(90)
    2880067194370816120

The C library's header, artifact.h, is the reference for everything that is not said here.
"""

from ._c import CacheOutcome as Outcome
from ._c import Detected as Kind
from ._c import Integrity, Status
from ._library import library, text
from .builder import Builder, FatBuilder, pack
from .cache import Cache, Entry
from .code import Code
from .cwasm import Cwasm, detect
from .engine import Engine
from .errors import (
    Damaged,
    Error,
    FileError,
    Incompatible,
    InvalidArgument,
    NotAnArtifact,
    NotFound,
    Unresolved,
    Untrusted,
)
from .file import Artifact, Finding, Module, Section, Symbol, Variant, open
from .keys import PrivateKey

__version__ = text(library.artifact_version_string())

__all__ = [
    "Artifact",
    "Builder",
    "Cache",
    "Code",
    "Cwasm",
    "Damaged",
    "Engine",
    "Entry",
    "Error",
    "FatBuilder",
    "FileError",
    "Finding",
    "Incompatible",
    "Integrity",
    "InvalidArgument",
    "Kind",
    "Module",
    "NotAnArtifact",
    "NotFound",
    "Outcome",
    "PrivateKey",
    "Section",
    "Status",
    "Symbol",
    "Unresolved",
    "Untrusted",
    "Variant",
    "detect",
    "open",
    "pack",
]

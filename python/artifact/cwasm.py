"""Files of Wasmtime 3 and newer, which are only read."""

import json
import os
from ctypes import byref
from typing import Any, List, Union

from . import _c
from ._c import Detected as Kind
from ._library import Buffer, StrPath, buffer, call, library, make, pointer_to, text
from .engine import Engine
from .file import Finding, findings


def detect(source: Union[StrPath, Buffer]) -> Kind:
    """Tells by its header what a file is."""
    found = _c.artifact_detection_t()
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        call("artifact_detect_bytes", pointer_to(data), len(data), byref(found))
    else:
        call("artifact_detect_file", os.fsencode(source), byref(found))
    return Kind(found.kind)


class Cwasm:
    """A `.cwasm` file. The Wasmtime of its version runs it."""

    def __init__(self, path: StrPath) -> None:
        self._as_parameter_ = make("artifact_cwasm_open_file", "artifact_cwasm_free", os.fsencode(path))

    @property
    def kind(self) -> Kind:
        """Module or component."""
        return Kind(library.artifact_cwasm_kind(self))

    @property
    def version(self) -> str:
        """The Wasmtime that made it, and that runs it."""
        return text(library.artifact_cwasm_version(self))

    @property
    def target(self) -> str:
        """The target triple."""
        return text(library.artifact_cwasm_target(self))

    @property
    def settings(self) -> Any:
        """All settings, as `artifact inspect --json` prints them."""
        return json.loads(buffer("artifact_cwasm_to_json", self))

    def report(self, engine: Engine) -> List[Finding]:
        """Every reason for which the engine's CPU cannot run the code; none if it can."""
        return findings(make("artifact_cwasm_report", "artifact_report_free", self, engine))

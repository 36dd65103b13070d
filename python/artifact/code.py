"""Loaded code, whose functions are called through ctypes."""

import ctypes
from ctypes import byref, c_size_t, c_void_p
from types import TracebackType
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Type

from . import _c
from ._library import Handle, encoded, library, make, text
from .engine import Engine
from .errors import InvalidArgument, NotFound, Status


class Code:
    """Code that is mapped. Functions and addresses are valid as long as this object, or a function from it, is there."""

    def __init__(self, handle: Handle, kept: Any) -> None:
        self.__handle: Optional[Handle] = handle
        # Imports: the code may call them as long as it is there.
        handle.kept = kept  # type: ignore[attr-defined]

    @property
    def _handle(self) -> Handle:
        if self.__handle is None:
            raise InvalidArgument("code: expected loaded code, found freed code", Status.INVALID_ARGUMENT)
        return self.__handle

    def close(self) -> None:
        """Frees the code, unless functions from it are still there."""
        self.__handle = None

    def __enter__(self) -> "Code":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def address(self, name: str, module: Optional[int] = None) -> int:
        """The address of a symbol, of the main module unless another one is given. Raises NotFound."""
        if module is None:
            module = library.artifact_code_main_module(self._handle)
        found = library.artifact_code_symbol(self._handle, module, encoded(name), None)
        if not found:
            raise NotFound(f"no symbol is named '{name}' in module {module}", Status.NOT_FOUND)
        return int(found)

    def function(self, name: str, restype: Any = None, *argtypes: Any, module: Optional[int] = None) -> Callable[..., Any]:
        """A function as a ctypes callable.

        Args:
            name: The symbol.
            restype: The type of the result, of ctypes; None for void.
            argtypes: The types of the parameters. Wrong types are undefined behaviour, as in C.
            module: The index of the module; the main module by default.
        """
        prototype = ctypes.CFUNCTYPE(restype, *argtypes)
        function = prototype(self.address(name, module))
        function._code = self._handle  # type: ignore[attr-defined]
        return function

    def symbolize(self, address: int) -> Optional[Tuple[str, int]]:
        """The symbol that an address of this code is in, and the offset in it; None for an address elsewhere."""
        name = ctypes.create_string_buffer(4096)
        found = _c.artifact_symbolized_t()
        if library.artifact_code_symbolize(self._handle, c_void_p(address), name, len(name), byref(found)) != _c.Status.OK:
            return None
        return text(name.value), int(found.offset)


def load(
    artifact: Handle,
    engine: Engine,
    *,
    symbols: Optional[Dict[str, Any]] = None,
    process_symbols: bool = False,
    constructors: Optional[bool] = None,
    modules: Optional[Sequence[int]] = None,
    allow_memfd: bool = False,
    unwind: bool = True,
    gdb: bool = False,
    perf_map: bool = False,
) -> Code:
    """Maps the code of an artifact, checks that it fits this CPU, and binds it.

    Args:
        artifact: The artifact.
        engine: What the code must fit.
        symbols: What the code imports: addresses, or ctypes functions (callbacks included), by name.
        process_symbols: Search the process for what `symbols` does not have, as the dynamic linker would.
        constructors: Run constructors, or skip them. By default, code that has any is refused.
        modules: The indexes of the modules to load; all by default.
        allow_memfd: Load through memory where the file system forbids mapping code.
        unwind: Register unwind tables, so that exceptions pass through the code.
        gdb: Tell GDB about the code.
        perf_map: Tell perf about the code.

    Raises:
        Incompatible: The code does not fit.
        Unresolved: Imports are missing; the exception's `missing` lists them.
    """
    imports = symbols or {}
    table = (_c.artifact_import_t * len(imports))()
    for entry, (name, value) in zip(table, imports.items()):
        entry.name, entry.address = encoded(name), _address_of(value)
    chosen = list(modules) if modules is not None else []
    indexes = (c_size_t * len(chosen))(*chosen)
    options = _c.artifact_load_options_t(size=_c.artifact_load_options_t.register_frame_info.offset)
    options.flags = (
        _c.LOAD_ALLOW_MEMFD * allow_memfd
        | _c.LOAD_PROCESS_SYMBOLS * process_symbols
        | _c.LOAD_RUN_CONSTRUCTORS * (constructors is True)
        | _c.LOAD_SKIP_CONSTRUCTORS * (constructors is False)
        | _c.LOAD_NO_UNWIND * (not unwind)
        | _c.LOAD_GDB * gdb
        | _c.LOAD_PERF_MAP * perf_map
    )
    options.symbols, options.symbol_count = table, len(imports)
    if modules is not None:
        options.size = ctypes.sizeof(options)
        options.modules, options.module_count = indexes, len(chosen)
    handle = make("artifact_load", "artifact_code_free", artifact, engine, byref(options))
    return Code(handle, list(imports.values()))


def _address_of(value: Any) -> Optional[int]:
    return value if isinstance(value, int) else ctypes.cast(value, c_void_p).value

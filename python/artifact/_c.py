"""The declarations of include/artifact.h for ctypes. Written by python/generate: do not edit."""
# ruff: noqa
# fmt: off
from ctypes import (CFUNCTYPE, POINTER, Structure, c_bool, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint8,
                    c_uint32, c_uint64, c_void_p)
from enum import IntEnum
from typing import Any, Dict, List, Tuple


class Status(IntEnum):
    """artifact_status_t of artifact.h."""

    OK = 0
    INVALID_ARGUMENT = 1
    IO = 2
    LIMIT = 3
    NO_MEMORY = 4
    NOT_FOUND = 5
    NOT_AN_ARTIFACT = 10
    TRUNCATED = 11
    CORRUPT = 12
    DIGEST_MISMATCH = 13
    INCOMPATIBLE = 20
    WRONG_VERSION = 21
    WRONG_PRODUCER = 22
    UNSUPPORTED = 23
    UNTRUSTED = 30
    UNRESOLVED = 40
    INTERNAL = 90


class FlagMap(IntEnum):
    """artifact_flag_map_t of artifact.h."""

    SHARED = 0
    ISA = 1


class FlagKind(IntEnum):
    """artifact_flag_kind_t of artifact.h."""

    ENUM = 0
    NUM = 1
    BOOL = 2


class Tunable(IntEnum):
    """artifact_tunable_t of artifact.h."""

    STATIC_MEMORY_BOUND = 0
    STATIC_MEMORY_OFFSET_GUARD_SIZE = 1
    DYNAMIC_MEMORY_OFFSET_GUARD_SIZE = 2
    DYNAMIC_MEMORY_GROWTH_RESERVE = 3
    GENERATE_NATIVE_DEBUGINFO = 4
    PARSE_WASM_DEBUGINFO = 5
    INTERRUPTABLE = 6
    CONSUME_FUEL = 7
    STATIC_MEMORY_BOUND_IS_MAXIMUM = 8
    GUARD_BEFORE_LINEAR_MEMORY = 9
    GENERATE_ADDRESS_MAP = 10


class Feature(IntEnum):
    """artifact_feature_t of artifact.h."""

    REFERENCE_TYPES = 0
    MULTI_VALUE = 1
    BULK_MEMORY = 2
    MODULE_LINKING = 3
    SIMD = 4
    THREADS = 5
    TAIL_CALL = 6
    DETERMINISTIC_ONLY = 7
    MULTI_MEMORY = 8
    EXCEPTIONS = 9
    MEMORY64 = 10


class VersionRule(IntEnum):
    """artifact_version_rule_t of artifact.h."""

    LIBRARY = 0
    CUSTOM = 1
    NONE = 2


class WasmType(IntEnum):
    """artifact_wasm_type_t of artifact.h."""

    I32 = 0
    I64 = 1
    F32 = 2
    F64 = 3
    V128 = 4
    FUNCREF = 5
    EXTERNREF = 6
    EXNREF = 7


class EntityKind(IntEnum):
    """artifact_entity_kind_t of artifact.h."""

    GLOBAL = 0
    MEMORY = 1
    TAG = 2
    TABLE = 3
    FUNCTION = 4
    INSTANCE = 5
    MODULE = 6


class InitKind(IntEnum):
    """artifact_init_kind_t of artifact.h."""

    I32 = 0
    I64 = 1
    F32 = 2
    F64 = 3
    V128 = 4
    GET_GLOBAL = 5
    REF_NULL = 6
    REF_FUNC = 7
    IMPORT = 8


class Integrity(IntEnum):
    """artifact_integrity_t of artifact.h."""

    NONE = 0
    DIGESTS = 1
    SIGNED = 2


class ByteOrder(IntEnum):
    """artifact_byte_order_t of artifact.h."""

    LITTLE_ENDIAN = 0
    BIG_ENDIAN = 1


class ReportKind(IntEnum):
    """artifact_report_kind_t of artifact.h."""

    PRODUCER = 1
    VERSION = 2
    ARCHITECTURE = 4
    OPERATING_SYSTEM = 8
    SHARED_FLAG = 16
    ISA_FLAG = 32
    TUNABLE = 64
    FEATURE = 128
    MODULE_MACHINE = 256
    LINK = 65536
    PADDING = 131072
    MACHINE = 262144
    SECTION = 524288
    METADATA = 1048576
    TRAILING_BYTES = 2097152
    SIGNATURE = 4194304


class CacheOutcome(IntEnum):
    """artifact_cache_outcome_t of artifact.h."""

    HIT = 1
    MADE = 2
    MADE_BY_OTHER = 3
    STORED = 4
    NOT_STORED = 5
    FETCHED = 6
    ABSENT = 10
    STALE = 11
    INCOMPATIBLE = 12
    DAMAGED = 13
    UNTRUSTED = 14
    UNREADABLE = 15
    EVICTED = 20
    REMOVED = 21
    REMOTE_FAILED = 22
    NOT_LOCKED = 23


class Detected(IntEnum):
    """artifact_detected_t of artifact.h."""

    NOTHING = 0
    ARTIFACT = 1
    WASMTIME_MODULE = 2
    WASMTIME_COMPONENT = 3



# Flags
LINK_NO_DEBUG = 1
LINK_WHOLE_ARCHIVE = 2
LINK_GC_SECTIONS = 4
LINK_PACK_RELATIVE_RELOCS = 8
SAVE_NO_SYNC = 1
OPEN_VERIFY = 1
OPEN_COPY = 2
OPEN_READ = 4
OPEN_VARIANT = 8
OPEN_REQUIRE_BEST = 16
LOAD_ALLOW_MEMFD = 1
LOAD_PROCESS_SYMBOLS = 2
LOAD_RUN_CONSTRUCTORS = 4
LOAD_NO_UNWIND = 8
LOAD_GDB = 16
LOAD_PERF_MAP = 32
LOAD_JITDUMP = 64
LOAD_SKIP_CONSTRUCTORS = 128
CACHE_READ_ONLY = 1
CACHE_NO_SYNC = 2
CACHE_VERIFY_ALWAYS = 4
CACHE_REMOTE_UNSIGNED = 8

artifact_write_fn = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)

artifact_cache_event_fn = CFUNCTYPE(None, c_void_p, c_uint32, c_char_p, c_void_p)

artifact_make_fn = CFUNCTYPE(c_uint32, c_void_p, c_void_p, POINTER(c_void_p))


class artifact_slice_t(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("len", c_size_t),
    ]


class artifact_flag_t(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("kind", c_uint32),
        ("value", c_uint32),
        ("text", c_char_p),
    ]


class artifact_entity_t(Structure):
    _fields_ = [
        ("kind", c_uint32),
        ("index", c_uint32),
        ("wasm_type", c_uint32),
        ("init", c_uint32),
        ("init_low", c_uint64),
        ("init_high", c_uint64),
        ("minimum", c_uint64),
        ("maximum", c_uint64),
        ("has_maximum", c_bool),
        ("is_mutable", c_bool),
        ("is_shared", c_bool),
        ("is_memory64", c_bool),
    ]


class artifact_object_t(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("data", c_void_p),
        ("len", c_size_t),
    ]


class artifact_link_options_t(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint64),
        ("entries", POINTER(c_char_p)),
        ("entry_count", c_size_t),
    ]


class artifact_save_options_t(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint64),
    ]


class artifact_open_options_t(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint64),
        ("offset", c_uint64),
        ("length", c_uint64),
        ("memory_limit", c_uint64),
        ("signature", c_void_p),
        ("signature_len", c_size_t),
        ("copy_limit", c_uint64),
        ("variant", c_uint64),
    ]


class artifact_upvar_t(Structure):
    _fields_ = [
        ("parent", c_size_t),
        ("module", c_uint64),
        ("artifact_upvars", POINTER(c_uint64)),
        ("artifact_upvars_len", c_size_t),
    ]


class artifact_func_type_t(Structure):
    _fields_ = [
        ("params", c_void_p),
        ("params_len", c_size_t),
        ("returns", c_void_p),
        ("returns_len", c_size_t),
        ("externref_params", c_uint64),
        ("externref_returns", c_uint64),
    ]


class artifact_public_key_t(Structure):
    _fields_ = [
        ("bytes", c_uint8 * 32),
    ]

artifact_sign_fn = CFUNCTYPE(c_uint32, c_void_p, c_void_p, c_size_t, POINTER(artifact_public_key_t), c_void_p)


class artifact_module_t(Structure):
    _fields_ = [
        ("bytes", artifact_slice_t),
        ("offset", c_uint64),
        ("align", c_uint64),
        ("machine", c_uint32),
        ("type", c_uint32),
        ("byte_order", c_uint32),
    ]


class artifact_section_t(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("bytes", artifact_slice_t),
        ("offset", c_uint64),
        ("size", c_uint64),
        ("align", c_uint64),
        ("address", c_uint64),
        ("flags", c_uint64),
        ("type", c_uint32),
    ]


class artifact_symbol_t(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("value", c_uint64),
        ("size", c_uint64),
        ("section", c_uint32),
        ("type", c_uint32),
        ("binding", c_uint32),
    ]


class artifact_import_t(Structure):
    _fields_ = [
        ("name", c_char_p),
        ("address", c_void_p),
    ]

artifact_resolve_fn = CFUNCTYPE(None, c_void_p, POINTER(artifact_import_t), c_size_t)


class artifact_load_options_t(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint64),
        ("symbols", POINTER(artifact_import_t)),
        ("symbol_count", c_size_t),
        ("resolve", artifact_resolve_fn),
        ("context", c_void_p),
        ("register_frame_info", CFUNCTYPE(None, c_void_p, c_void_p)),
        ("deregister_frame_info", CFUNCTYPE(c_void_p, c_void_p)),
        ("add_dynamic_fde", CFUNCTYPE(None, c_size_t)),
        ("remove_dynamic_fde", CFUNCTYPE(None, c_size_t)),
        ("modules", POINTER(c_size_t)),
        ("module_count", c_size_t),
    ]


class artifact_symbolized_t(Structure):
    _fields_ = [
        ("module", c_size_t),
        ("offset", c_size_t),
        ("name_len", c_size_t),
    ]


class artifact_report_entry_t(Structure):
    _fields_ = [
        ("kind", c_uint32),
        ("setting", c_char_p),
        ("artifact_value", c_char_p),
        ("engine_value", c_char_p),
        ("sentence", c_char_p),
    ]


class artifact_variant_t(Structure):
    _fields_ = [
        ("target", c_char_p),
        ("needs", c_size_t),
        ("offset", c_uint64),
        ("length", c_uint64),
        ("score", c_int32),
        ("added", c_uint32),
    ]


class artifact_cache_remote_t(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("context", c_void_p),
        ("get", CFUNCTYPE(c_uint32, c_void_p, c_char_p, c_uint64, artifact_write_fn, c_void_p, c_char_p, c_size_t)),
        ("put", CFUNCTYPE(c_uint32, c_void_p, c_char_p, c_void_p, c_size_t, c_char_p, c_size_t)),
    ]


class artifact_cache_options_t(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("flags", c_uint64),
        ("max_bytes", c_uint64),
        ("max_entries", c_uint64),
        ("max_age_s", c_uint64),
        ("wait_ms", c_uint64),
        ("targets", POINTER(c_void_p)),
        ("target_count", c_size_t),
        ("signing_key", c_void_p),
        ("sign", artifact_sign_fn),
        ("sign_context", c_void_p),
        ("layers", POINTER(c_char_p)),
        ("layer_count", c_size_t),
        ("remote", POINTER(artifact_cache_remote_t)),
        ("on_event", artifact_cache_event_fn),
        ("event_context", c_void_p),
    ]


class artifact_cache_entry_t(Structure):
    _fields_ = [
        ("path", c_char_p),
        ("key", c_uint8 * 32),
        ("target", c_uint8 * 8),
        ("size", c_uint64),
        ("used", c_int64),
    ]

artifact_cache_entry_fn = CFUNCTYPE(c_int, c_void_p, POINTER(artifact_cache_entry_t))


class artifact_cache_stats_t(Structure):
    _fields_ = [
        ("entries", c_uint64),
        ("bytes", c_uint64),
    ]


class artifact_detection_t(Structure):
    _fields_ = [
        ("kind", c_uint32),
        ("version_len", c_uint32),
        ("producer", c_char * 36),
        ("version", c_char * 256),
    ]


# Of each function: the type of its result, and those of its parameters.
FUNCTIONS: Dict[str, Tuple[Any, List[Any]]] = {
    "artifact_version": (c_uint32, []),
    "artifact_version_string": (c_char_p, []),
    "artifact_status_name": (c_char_p, [c_uint32]),
    "artifact_error_status": (c_uint32, [c_void_p]),
    "artifact_error_message": (c_char_p, [c_void_p]),
    "artifact_error_offset": (c_uint64, [c_void_p]),
    "artifact_error_errno": (c_int, [c_void_p]),
    "artifact_error_missing_count": (c_size_t, [c_void_p]),
    "artifact_error_missing": (c_char_p, [c_void_p, c_size_t]),
    "artifact_error_free": (None, [c_void_p]),
    "artifact_buffer_data": (c_void_p, [c_void_p]),
    "artifact_buffer_len": (c_size_t, [c_void_p]),
    "artifact_buffer_free": (None, [c_void_p]),
    "artifact_engine_new": (c_void_p, []),
    "artifact_engine_new_host": (c_void_p, []),
    "artifact_engine_new_wasmtime": (c_void_p, []),
    "artifact_engine_clone": (c_void_p, [c_void_p]),
    "artifact_engine_free": (None, [c_void_p]),
    "artifact_engine_set_target": (c_uint32, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "artifact_engine_set_producer": (c_uint32, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "artifact_engine_set_version_rule": (c_uint32, [c_void_p, c_uint32, c_char_p, POINTER(c_void_p)]),
    "artifact_engine_set_flag_bool": (c_uint32, [c_void_p, c_uint32, c_char_p, c_bool, POINTER(c_void_p)]),
    "artifact_engine_set_flag_num": (c_uint32, [c_void_p, c_uint32, c_char_p, c_uint8, POINTER(c_void_p)]),
    "artifact_engine_set_flag_enum": (c_uint32, [c_void_p, c_uint32, c_char_p, c_char_p, POINTER(c_void_p)]),
    "artifact_engine_unset_flag": (c_uint32, [c_void_p, c_uint32, c_char_p, POINTER(c_void_p)]),
    "artifact_engine_set_tunable": (c_uint32, [c_void_p, c_uint32, c_uint64, POINTER(c_void_p)]),
    "artifact_engine_set_feature": (c_uint32, [c_void_p, c_uint32, c_bool, POINTER(c_void_p)]),
    "artifact_engine_target": (c_char_p, [c_void_p]),
    "artifact_engine_producer": (c_char_p, [c_void_p]),
    "artifact_engine_version": (c_char_p, [c_void_p]),
    "artifact_engine_version_rule": (c_uint32, [c_void_p]),
    "artifact_engine_flag_count": (c_size_t, [c_void_p, c_uint32]),
    "artifact_engine_flag_at": (c_uint32, [c_void_p, c_uint32, c_size_t, POINTER(artifact_flag_t), POINTER(c_void_p)]),
    "artifact_engine_flag": (c_uint32, [c_void_p, c_uint32, c_char_p, POINTER(artifact_flag_t), POINTER(c_void_p)]),
    "artifact_engine_tunable": (c_uint32, [c_void_p, c_uint32, POINTER(c_uint64), POINTER(c_void_p)]),
    "artifact_engine_feature": (c_uint32, [c_void_p, c_uint32, POINTER(c_bool), POINTER(c_void_p)]),
    "artifact_engine_fingerprint": (c_uint32, [c_void_p, c_void_p, POINTER(c_void_p)]),
    "artifact_engine_to_json": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_engine_from_json": (c_uint32, [c_char_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_engine_set_cpu": (c_uint32, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "artifact_engine_clone_for_host": (c_void_p, [c_void_p]),
    "artifact_builder_new": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_builder_new_from_artifact": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_builder_free": (None, [c_void_p]),
    "artifact_builder_add_module": (c_uint32, [c_void_p, c_void_p, c_size_t, POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_builder_add_module_file": (c_uint32, [c_void_p, c_char_p, POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_builder_add_objects": (c_uint32, [c_void_p, POINTER(artifact_object_t), c_size_t, POINTER(artifact_link_options_t), POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_builder_module_count": (c_size_t, [c_void_p]),
    "artifact_builder_add_func_type": (c_uint32, [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, POINTER(c_uint32), POINTER(c_void_p)]),
    "artifact_builder_add_instance_type": (c_uint32, [c_void_p, POINTER(c_uint32), POINTER(c_void_p)]),
    "artifact_builder_add_instance_export": (c_uint32, [c_void_p, c_uint32, c_char_p, POINTER(artifact_entity_t), POINTER(c_void_p)]),
    "artifact_builder_add_module_type": (c_uint32, [c_void_p, c_uint32, POINTER(c_uint32), POINTER(c_void_p)]),
    "artifact_builder_add_module_import": (c_uint32, [c_void_p, c_uint32, c_char_p, POINTER(artifact_entity_t), POINTER(c_void_p)]),
    "artifact_builder_add_upvar": (c_uint32, [c_void_p, c_size_t, c_size_t, POINTER(c_size_t), c_size_t, POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_builder_set_trailer": (c_uint32, [c_void_p, c_bool, POINTER(c_void_p)]),
    "artifact_builder_set_attribute": (c_uint32, [c_void_p, c_char_p, c_void_p, c_size_t, POINTER(c_void_p)]),
    "artifact_builder_unset_attribute": (c_uint32, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "artifact_serialize": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_serialize_to_file": (c_uint32, [c_void_p, c_char_p, POINTER(artifact_save_options_t), POINTER(c_void_p)]),
    "artifact_serialize_to": (c_uint32, [c_void_p, artifact_write_fn, c_void_p, POINTER(c_void_p)]),
    "artifact_open_file": (c_uint32, [c_char_p, c_void_p, POINTER(artifact_open_options_t), POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_open_fd": (c_uint32, [c_int, c_void_p, POINTER(artifact_open_options_t), POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_open_bytes": (c_uint32, [c_void_p, c_size_t, c_void_p, POINTER(artifact_open_options_t), POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_open_borrowed": (c_uint32, [c_void_p, c_size_t, c_void_p, POINTER(artifact_open_options_t), POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_free": (None, [c_void_p]),
    "artifact_check_compat": (c_uint32, [c_void_p, c_void_p, POINTER(c_void_p)]),
    "artifact_compat_report": (c_uint32, [c_void_p, c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_host_report": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_verify": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_producer": (c_char_p, [c_void_p]),
    "artifact_producer_version": (artifact_slice_t, [c_void_p]),
    "artifact_file_len": (c_uint64, [c_void_p]),
    "artifact_target": (c_uint32, [c_void_p, POINTER(c_char_p), POINTER(c_void_p)]),
    "artifact_flag_count": (c_uint32, [c_void_p, c_uint32, POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_flag_at": (c_uint32, [c_void_p, c_uint32, c_size_t, POINTER(artifact_flag_t), POINTER(c_void_p)]),
    "artifact_flag": (c_uint32, [c_void_p, c_uint32, c_char_p, POINTER(artifact_flag_t), POINTER(c_void_p)]),
    "artifact_tunable": (c_uint32, [c_void_p, c_uint32, POINTER(c_uint64), POINTER(c_void_p)]),
    "artifact_feature": (c_uint32, [c_void_p, c_uint32, POINTER(c_bool), POINTER(c_void_p)]),
    "artifact_upvar_count": (c_uint32, [c_void_p, POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_upvar_at": (c_uint32, [c_void_p, c_size_t, POINTER(artifact_upvar_t), POINTER(c_void_p)]),
    "artifact_type_counts": (c_uint32, [c_void_p, POINTER(c_size_t), POINTER(c_size_t), POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_func_type": (c_uint32, [c_void_p, c_size_t, POINTER(artifact_func_type_t), POINTER(c_void_p)]),
    "artifact_module_type": (c_uint32, [c_void_p, c_size_t, POINTER(c_size_t), POINTER(c_uint32), POINTER(c_void_p)]),
    "artifact_module_import": (c_uint32, [c_void_p, c_size_t, c_size_t, POINTER(c_char_p), POINTER(artifact_entity_t), POINTER(c_void_p)]),
    "artifact_instance_type": (c_uint32, [c_void_p, c_size_t, POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_instance_export": (c_uint32, [c_void_p, c_size_t, c_size_t, POINTER(c_char_p), POINTER(artifact_entity_t), POINTER(c_void_p)]),
    "artifact_integrity": (c_uint32, [c_void_p]),
    "artifact_attribute_count": (c_uint32, [c_void_p, POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_attribute_at": (c_uint32, [c_void_p, c_size_t, POINTER(c_char_p), POINTER(artifact_slice_t), POINTER(c_void_p)]),
    "artifact_attribute": (c_uint32, [c_void_p, c_char_p, POINTER(artifact_slice_t), POINTER(c_void_p)]),
    "artifact_key_generate": (c_uint32, [POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_key_from_pem": (c_uint32, [c_char_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_key_free": (None, [c_void_p]),
    "artifact_key_to_pem": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_key_save": (c_uint32, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "artifact_key_public": (c_uint32, [c_void_p, POINTER(artifact_public_key_t), POINTER(c_void_p)]),
    "artifact_public_key_from_pem": (c_uint32, [c_char_p, POINTER(artifact_public_key_t), POINTER(c_void_p)]),
    "artifact_public_key_to_pem": (c_uint32, [POINTER(artifact_public_key_t), POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_engine_trust_key": (c_uint32, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "artifact_engine_trusted_key_count": (c_size_t, [c_void_p]),
    "artifact_engine_trusted_key_at": (c_uint32, [c_void_p, c_size_t, POINTER(artifact_public_key_t), POINTER(c_void_p)]),
    "artifact_builder_add_key": (c_uint32, [c_void_p, c_void_p, POINTER(c_void_p)]),
    "artifact_root_record": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_builder_add_signature": (c_uint32, [c_void_p, POINTER(artifact_public_key_t), c_void_p, c_size_t, POINTER(c_void_p)]),
    "artifact_builder_clear_signatures": (c_uint32, [c_void_p, POINTER(c_void_p)]),
    "artifact_signed_by": (c_uint32, [c_void_p, POINTER(artifact_public_key_t), POINTER(c_void_p)]),
    "artifact_signature_count": (c_size_t, [c_void_p]),
    "artifact_signature_at": (c_uint32, [c_void_p, c_size_t, POINTER(artifact_public_key_t), POINTER(c_void_p)]),
    "artifact_sign": (c_uint32, [c_void_p, c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_detached_record": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_module_count": (c_size_t, [c_void_p]),
    "artifact_main_module": (c_size_t, [c_void_p]),
    "artifact_module": (c_uint32, [c_void_p, c_size_t, POINTER(artifact_module_t), POINTER(c_void_p)]),
    "artifact_section_count": (c_uint32, [c_void_p, c_size_t, POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_section_at": (c_uint32, [c_void_p, c_size_t, c_size_t, POINTER(artifact_section_t), POINTER(c_void_p)]),
    "artifact_section": (c_uint32, [c_void_p, c_size_t, c_char_p, POINTER(artifact_section_t), POINTER(c_void_p)]),
    "artifact_symbol_count": (c_uint32, [c_void_p, c_size_t, POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_symbol_at": (c_uint32, [c_void_p, c_size_t, c_size_t, POINTER(artifact_symbol_t), POINTER(c_void_p)]),
    "artifact_symbol": (c_uint32, [c_void_p, c_size_t, c_char_p, POINTER(artifact_symbol_t), POINTER(c_void_p)]),
    "artifact_load": (c_uint32, [c_void_p, c_void_p, POINTER(artifact_load_options_t), POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_code_main_module": (c_size_t, [c_void_p]),
    "artifact_code_symbol": (c_void_p, [c_void_p, c_size_t, c_char_p, POINTER(c_size_t)]),
    "artifact_code_symbolize": (c_uint32, [c_void_p, c_void_p, c_char_p, c_size_t, POINTER(artifact_symbolized_t)]),
    "artifact_symbolize": (c_uint32, [c_void_p, c_char_p, c_size_t, POINTER(artifact_symbolized_t)]),
    "artifact_code_free": (None, [c_void_p]),
    "artifact_report_status": (c_uint32, [c_void_p]),
    "artifact_report_count": (c_size_t, [c_void_p]),
    "artifact_report_kinds": (c_uint64, [c_void_p]),
    "artifact_report_at": (c_uint32, [c_void_p, c_size_t, POINTER(artifact_report_entry_t), POINTER(c_void_p)]),
    "artifact_report_free": (None, [c_void_p]),
    "artifact_fat_builder_new": (c_void_p, []),
    "artifact_fat_builder_new_from_artifact": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_fat_builder_free": (None, [c_void_p]),
    "artifact_fat_builder_add": (c_uint32, [c_void_p, c_void_p, c_int32, POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_fat_builder_add_artifact": (c_uint32, [c_void_p, c_void_p, c_int32, POINTER(c_size_t), POINTER(c_void_p)]),
    "artifact_fat_builder_remove": (c_uint32, [c_void_p, c_size_t, POINTER(c_void_p)]),
    "artifact_fat_builder_count": (c_size_t, [c_void_p]),
    "artifact_fat_builder_add_key": (c_uint32, [c_void_p, c_void_p, POINTER(c_void_p)]),
    "artifact_fat_builder_index_digest": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_fat_builder_add_signature": (c_uint32, [c_void_p, POINTER(artifact_public_key_t), c_void_p, c_size_t, POINTER(c_void_p)]),
    "artifact_fat_builder_clear_signatures": (c_uint32, [c_void_p, POINTER(c_void_p)]),
    "artifact_fat_serialize": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_fat_serialize_to_file": (c_uint32, [c_void_p, c_char_p, POINTER(artifact_save_options_t), POINTER(c_void_p)]),
    "artifact_fat_serialize_to": (c_uint32, [c_void_p, artifact_write_fn, c_void_p, POINTER(c_void_p)]),
    "artifact_variant_count": (c_size_t, [c_void_p]),
    "artifact_variant_chosen": (c_size_t, [c_void_p]),
    "artifact_variant_at": (c_uint32, [c_void_p, c_size_t, POINTER(artifact_variant_t), POINTER(c_void_p)]),
    "artifact_variant_need_at": (c_uint32, [c_void_p, c_size_t, c_size_t, POINTER(c_char_p), POINTER(c_void_p)]),
    "artifact_variant_report": (c_uint32, [c_void_p, c_size_t, c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_cache_key_new": (c_void_p, []),
    "artifact_cache_key_add": (c_uint32, [c_void_p, c_char_p, c_void_p, c_size_t, POINTER(c_void_p)]),
    "artifact_cache_key_digest": (c_uint32, [c_void_p, c_void_p, POINTER(c_void_p)]),
    "artifact_cache_key_free": (None, [c_void_p]),
    "artifact_cache_outcome_name": (c_char_p, [c_uint32]),
    "artifact_cache_open": (c_uint32, [c_char_p, c_void_p, POINTER(artifact_cache_options_t), POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_cache_trouble": (c_uint32, [c_void_p, POINTER(c_void_p)]),
    "artifact_cache_get": (c_uint32, [c_void_p, c_void_p, POINTER(c_void_p), POINTER(c_uint32), POINTER(c_void_p)]),
    "artifact_cache_put": (c_uint32, [c_void_p, c_void_p, c_void_p, POINTER(c_void_p), POINTER(c_uint32), POINTER(c_void_p)]),
    "artifact_cache_get_or_make": (c_uint32, [c_void_p, c_void_p, artifact_make_fn, c_void_p, POINTER(c_void_p), POINTER(c_uint32), POINTER(c_void_p)]),
    "artifact_cache_remove": (c_uint32, [c_void_p, c_void_p, POINTER(c_void_p)]),
    "artifact_cache_trim": (c_uint32, [c_void_p, POINTER(c_uint64), POINTER(c_void_p)]),
    "artifact_cache_each": (c_uint32, [c_void_p, artifact_cache_entry_fn, c_void_p, POINTER(c_void_p)]),
    "artifact_cache_count": (c_uint64, [c_void_p, c_uint32]),
    "artifact_cache_stats": (c_uint32, [c_void_p, POINTER(artifact_cache_stats_t), POINTER(c_void_p)]),
    "artifact_cache_export": (c_uint32, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "artifact_cache_free": (None, [c_void_p]),
    "artifact_detect_file": (c_uint32, [c_char_p, POINTER(artifact_detection_t), POINTER(c_void_p)]),
    "artifact_detect_fd": (c_uint32, [c_int, POINTER(artifact_detection_t), POINTER(c_void_p)]),
    "artifact_detect_bytes": (c_uint32, [c_void_p, c_size_t, POINTER(artifact_detection_t), POINTER(c_void_p)]),
    "artifact_cwasm_open_file": (c_uint32, [c_char_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_cwasm_open_fd": (c_uint32, [c_int, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_cwasm_open_bytes": (c_uint32, [c_void_p, c_size_t, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_cwasm_free": (None, [c_void_p]),
    "artifact_cwasm_kind": (c_uint32, [c_void_p]),
    "artifact_cwasm_version": (c_char_p, [c_void_p]),
    "artifact_cwasm_target": (c_char_p, [c_void_p]),
    "artifact_cwasm_to_json": (c_uint32, [c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_cwasm_report": (c_uint32, [c_void_p, c_void_p, POINTER(c_void_p), POINTER(c_void_p)]),
    "artifact_cwasm_report_against": (c_uint32, [c_void_p, c_char_p, POINTER(c_void_p), POINTER(c_void_p)]),
}

/* The layout of structs on 64-bit machines. Programs are compiled for it, so it must not change; options grow at the
 * end. */
#include <artifact.h>

#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#define FIELD(type, field, offset, size)                                                                               \
    _Static_assert(offsetof(type, field) == (offset) && sizeof(((type *)0)->field) == (size), #type "." #field)

#if SIZE_MAX == UINT64_MAX

SIZE(artifact_slice_t, 16);
FIELD(artifact_slice_t, data, 0, 8);
FIELD(artifact_slice_t, len, 8, 8);

SIZE(artifact_flag_t, 24);
FIELD(artifact_flag_t, name, 0, 8);
FIELD(artifact_flag_t, kind, 8, 4);
FIELD(artifact_flag_t, value, 12, 4);
FIELD(artifact_flag_t, text, 16, 8);

SIZE(artifact_entity_t, 56);
FIELD(artifact_entity_t, kind, 0, 4);
FIELD(artifact_entity_t, index, 4, 4);
FIELD(artifact_entity_t, wasm_type, 8, 4);
FIELD(artifact_entity_t, init, 12, 4);
FIELD(artifact_entity_t, init_low, 16, 8);
FIELD(artifact_entity_t, init_high, 24, 8);
FIELD(artifact_entity_t, minimum, 32, 8);
FIELD(artifact_entity_t, maximum, 40, 8);
FIELD(artifact_entity_t, has_maximum, 48, 1);
FIELD(artifact_entity_t, is_mutable, 49, 1);
FIELD(artifact_entity_t, is_shared, 50, 1);
FIELD(artifact_entity_t, is_memory64, 51, 1);

SIZE(artifact_func_type_t, 48);
FIELD(artifact_func_type_t, params, 0, 8);
FIELD(artifact_func_type_t, params_len, 8, 8);
FIELD(artifact_func_type_t, returns, 16, 8);
FIELD(artifact_func_type_t, returns_len, 24, 8);
FIELD(artifact_func_type_t, externref_params, 32, 8);
FIELD(artifact_func_type_t, externref_returns, 40, 8);

SIZE(artifact_upvar_t, 32);
FIELD(artifact_upvar_t, parent, 0, 8);
FIELD(artifact_upvar_t, module, 8, 8);
FIELD(artifact_upvar_t, artifact_upvars, 16, 8);
FIELD(artifact_upvar_t, artifact_upvars_len, 24, 8);

SIZE(artifact_save_options_t, 16);
FIELD(artifact_save_options_t, size, 0, 8);
FIELD(artifact_save_options_t, flags, 8, 8);

SIZE(artifact_object_t, 24);
FIELD(artifact_object_t, name, 0, 8);
FIELD(artifact_object_t, data, 8, 8);
FIELD(artifact_object_t, len, 16, 8);

SIZE(artifact_link_options_t, 32);
FIELD(artifact_link_options_t, size, 0, 8);
FIELD(artifact_link_options_t, flags, 8, 8);
FIELD(artifact_link_options_t, entries, 16, 8);
FIELD(artifact_link_options_t, entry_count, 24, 8);

SIZE(artifact_open_options_t, 64);
FIELD(artifact_open_options_t, size, 0, 8);
FIELD(artifact_open_options_t, flags, 8, 8);
FIELD(artifact_open_options_t, offset, 16, 8);
FIELD(artifact_open_options_t, length, 24, 8);
FIELD(artifact_open_options_t, memory_limit, 32, 8);
FIELD(artifact_open_options_t, signature, 40, 8);
FIELD(artifact_open_options_t, signature_len, 48, 8);
FIELD(artifact_open_options_t, copy_limit, 56, 8);

SIZE(artifact_public_key_t, 32);
FIELD(artifact_public_key_t, bytes, 0, 32);

SIZE(artifact_import_t, 16);
FIELD(artifact_import_t, name, 0, 8);
FIELD(artifact_import_t, address, 8, 8);

SIZE(artifact_load_options_t, 80);
FIELD(artifact_load_options_t, size, 0, 8);
FIELD(artifact_load_options_t, flags, 8, 8);
FIELD(artifact_load_options_t, symbols, 16, 8);
FIELD(artifact_load_options_t, symbol_count, 24, 8);
FIELD(artifact_load_options_t, resolve, 32, 8);
FIELD(artifact_load_options_t, context, 40, 8);
FIELD(artifact_load_options_t, register_frame_info, 48, 8);
FIELD(artifact_load_options_t, deregister_frame_info, 56, 8);
FIELD(artifact_load_options_t, add_dynamic_fde, 64, 8);
FIELD(artifact_load_options_t, remove_dynamic_fde, 72, 8);

SIZE(artifact_symbolized_t, 24);
FIELD(artifact_symbolized_t, module, 0, 8);
FIELD(artifact_symbolized_t, offset, 8, 8);
FIELD(artifact_symbolized_t, name_len, 16, 8);

SIZE(artifact_module_t, 48);
FIELD(artifact_module_t, bytes, 0, 16);
FIELD(artifact_module_t, offset, 16, 8);
FIELD(artifact_module_t, align, 24, 8);
FIELD(artifact_module_t, machine, 32, 4);
FIELD(artifact_module_t, type, 36, 4);
FIELD(artifact_module_t, byte_order, 40, 4);

SIZE(artifact_section_t, 72);
FIELD(artifact_section_t, name, 0, 8);
FIELD(artifact_section_t, bytes, 8, 16);
FIELD(artifact_section_t, offset, 24, 8);
FIELD(artifact_section_t, size, 32, 8);
FIELD(artifact_section_t, align, 40, 8);
FIELD(artifact_section_t, address, 48, 8);
FIELD(artifact_section_t, flags, 56, 8);
FIELD(artifact_section_t, type, 64, 4);

SIZE(artifact_symbol_t, 40);
FIELD(artifact_symbol_t, name, 0, 8);
FIELD(artifact_symbol_t, value, 8, 8);
FIELD(artifact_symbol_t, size, 16, 8);
FIELD(artifact_symbol_t, section, 24, 4);
FIELD(artifact_symbol_t, type, 28, 4);
FIELD(artifact_symbol_t, binding, 32, 4);

SIZE(artifact_report_entry_t, 40);
FIELD(artifact_report_entry_t, kind, 0, 4);
FIELD(artifact_report_entry_t, setting, 8, 8);
FIELD(artifact_report_entry_t, artifact_value, 16, 8);
FIELD(artifact_report_entry_t, engine_value, 24, 8);
FIELD(artifact_report_entry_t, sentence, 32, 8);

SIZE(artifact_cache_remote_t, 32);
FIELD(artifact_cache_remote_t, size, 0, 8);
FIELD(artifact_cache_remote_t, context, 8, 8);
FIELD(artifact_cache_remote_t, get, 16, 8);
FIELD(artifact_cache_remote_t, put, 24, 8);

SIZE(artifact_cache_options_t, 128);
FIELD(artifact_cache_options_t, size, 0, 8);
FIELD(artifact_cache_options_t, flags, 8, 8);
FIELD(artifact_cache_options_t, max_bytes, 16, 8);
FIELD(artifact_cache_options_t, max_entries, 24, 8);
FIELD(artifact_cache_options_t, max_age_s, 32, 8);
FIELD(artifact_cache_options_t, wait_ms, 40, 8);
FIELD(artifact_cache_options_t, targets, 48, 8);
FIELD(artifact_cache_options_t, target_count, 56, 8);
FIELD(artifact_cache_options_t, signing_key, 64, 8);
FIELD(artifact_cache_options_t, sign, 72, 8);
FIELD(artifact_cache_options_t, sign_context, 80, 8);
FIELD(artifact_cache_options_t, layers, 88, 8);
FIELD(artifact_cache_options_t, layer_count, 96, 8);
FIELD(artifact_cache_options_t, remote, 104, 8);
FIELD(artifact_cache_options_t, on_event, 112, 8);
FIELD(artifact_cache_options_t, event_context, 120, 8);

SIZE(artifact_cache_entry_t, 64);
FIELD(artifact_cache_entry_t, path, 0, 8);
FIELD(artifact_cache_entry_t, key, 8, 32);
FIELD(artifact_cache_entry_t, target, 40, 8);
FIELD(artifact_cache_entry_t, size, 48, 8);
FIELD(artifact_cache_entry_t, used, 56, 8);

SIZE(artifact_cache_stats_t, 16);
FIELD(artifact_cache_stats_t, entries, 0, 8);
FIELD(artifact_cache_stats_t, bytes, 8, 8);

SIZE(artifact_detection_t, 300);
FIELD(artifact_detection_t, kind, 0, 4);
FIELD(artifact_detection_t, version_len, 4, 4);
FIELD(artifact_detection_t, producer, 8, 36);
FIELD(artifact_detection_t, version, 44, 256);

#endif

/* Enums are passed as uint32_t. */
SIZE(artifact_status_t, 4);
SIZE(artifact_version_rule_t, 4);
SIZE(artifact_flag_map_t, 4);
SIZE(artifact_flag_kind_t, 4);
SIZE(artifact_tunable_t, 4);
SIZE(artifact_feature_t, 4);
SIZE(artifact_wasm_type_t, 4);
SIZE(artifact_entity_kind_t, 4);
SIZE(artifact_init_kind_t, 4);
SIZE(artifact_byte_order_t, 4);
SIZE(artifact_report_kind_t, 4);
SIZE(artifact_cache_outcome_t, 4);
SIZE(artifact_detected_t, 4);

/* Genuine Wasmtime 0.33 files: read, checked with Wasmtime's own sentences, rewritten byte for byte. */
#include "check.h"
#include "support.h"

/* ---- every file ---- */

TEST(wasmtime_files_open) {
    artifact_engine_t *engine = genuine_engine();
    for (size_t i = 0; i < COUNT(genuine); i++) {
        artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
        options.flags = ARTIFACT_OPEN_VERIFY;
        artifact_t *artifact = GARBAGE;
        CHECK_OK(artifact_open_file(fixture(genuine[i]), NULL, &options, &artifact, &error));
        artifact_free(artifact);
        bool versioned = strncmp(genuine[i], "ver_", 4) != 0;
        CHECK_STATUS(artifact_open_file(fixture(genuine[i]), engine, NULL, &artifact, NULL),
                     versioned ? ARTIFACT_OK : ARTIFACT_WRONG_VERSION);
        CHECK((artifact != NULL) == versioned);
        artifact_free(artifact);
    }
    artifact_engine_free(engine);
}

TEST(wasmtime_files_round_trip) {
    for (size_t i = 0; i < COUNT(genuine); i++) {
        bytes_t file = read_file(fixture(genuine[i]));
        artifact_t *artifact = open_path(fixture(genuine[i]), NULL);
        artifact_builder_t *builder = GARBAGE;
        CHECK_OK(artifact_builder_new_from_artifact(artifact, &builder, &error));
        CHECK(artifact_builder_module_count(builder) == artifact_module_count(artifact));
        CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
        bytes_t again = serialize(builder);
        CHECK(same_bytes(again.data, again.len, file.data, file.len));
        CHECK_OK(artifact_serialize_to_file(builder, scratch("again.cwasm"), NULL, &error));
        bytes_t saved = read_file(scratch("again.cwasm"));
        CHECK(same_bytes(saved.data, saved.len, file.data, file.len));
        artifact_builder_free(builder);
        artifact_free(artifact);
        bytes_free(&file), bytes_free(&again), bytes_free(&saved);
    }
}

/* A rewrite keeps the body, so nothing can be added to it. */
TEST(wasmtime_rewriting_refuses_additions) {
    artifact_t *artifact = open_path(fixture("ml_types.cwasm"), NULL);
    artifact_builder_t *builder = GARBAGE;
    artifact_entity_t entity = {.kind = ARTIFACT_ENTITY_MEMORY};
    bytes_t elf = read_file(fixture("addfib.cwasm"));
    uint32_t index = 77;
    size_t big_index = 77;
    CHECK_OK(artifact_builder_new_from_artifact(artifact, &builder, &error));
#define KEPT(call) CHECK_FAILS(call, ARTIFACT_INVALID_ARGUMENT, "")
    KEPT(artifact_builder_add_module(builder, elf.data, 10640, &big_index, &error));
    KEPT(artifact_builder_add_module_file(builder, fixture("addfib.cwasm"), &big_index, &error));
    KEPT(artifact_builder_add_func_type(builder, NULL, 0, NULL, 0, &index, &error));
    KEPT(artifact_builder_add_instance_type(builder, &index, &error));
    KEPT(artifact_builder_add_instance_export(builder, 0, "x", &entity, &error));
    KEPT(artifact_builder_add_module_type(builder, 0, &index, &error));
    KEPT(artifact_builder_add_module_import(builder, 0, "x", &entity, &error));
    KEPT(artifact_builder_add_upvar(builder, SIZE_MAX, 0, NULL, 0, &big_index, &error));
    CHECK(index == 0 && big_index == 0);
    artifact_builder_free(builder);
    artifact_free(artifact);
    bytes_free(&elf);
}

/* Building an artifact from the parts of a genuine file gives the same bytes. */
TEST(wasmtime_files_can_be_built_from_their_parts) {
    static const char *const plain[] = {"addfib.cwasm", "empty.cwasm", "unicode.cwasm", "passive.cwasm"};
    artifact_engine_t *engine = genuine_engine();
    for (size_t i = 0; i < COUNT(plain); i++) {
        bytes_t file = read_file(fixture(plain[i]));
        artifact_t *artifact = open_path(fixture(plain[i]), engine);
        size_t funcs = 0, modules = 0, instances = 0;
        CHECK_OK(artifact_type_counts(artifact, &funcs, &modules, &instances, &error));
        CHECK(modules == 0 && instances == 0);
        artifact_module_t module;
        CHECK_OK(artifact_module(artifact, 0, &module, &error));
        artifact_builder_t *builder = new_builder(engine);
        CHECK_OK(artifact_builder_add_module(builder, module.bytes.data, module.bytes.len, NULL, &error));
        for (size_t j = 0; j < funcs; j++) {
            artifact_func_type_t type;
            CHECK_OK(artifact_func_type(artifact, j, &type, &error));
            CHECK(type.externref_params == 0 && type.externref_returns == 0);
            CHECK_OK(artifact_builder_add_func_type(builder, type.params, type.params_len, type.returns,
                                                    type.returns_len, NULL, &error));
        }
        CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
        bytes_t built = serialize(builder);
        CHECK(same_bytes(built.data, built.len, file.data, file.len));
        artifact_builder_free(builder);
        artifact_free(artifact);
        bytes_free(&file), bytes_free(&built);
    }
    artifact_engine_free(engine);
}

/* ---- verdicts ---- */

static void set_flag(artifact_engine_t *engine, const char *name, bool value) {
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_SHARED, name, value, &error));
}

/* The engines with which the genuine loader gave its verdicts. */
static artifact_engine_t *host(const char *name) {
    artifact_engine_t *engine = genuine_engine();
#define IS(text) (strcmp(name, text) == 0)
    if (IS("fuel")) CHECK_OK(artifact_engine_set_tunable(engine, ARTIFACT_TUNABLE_CONSUME_FUEL, 1, &error));
    if (IS("static0")) CHECK_OK(artifact_engine_set_tunable(engine, ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND, 0, &error));
    if (IS("opt_none")) CHECK_OK(artifact_engine_set_flag_enum(engine, 0, "opt_level", "none", &error));
    if (IS("debug_info")) {
        CHECK_OK(artifact_engine_set_tunable(engine, ARTIFACT_TUNABLE_GENERATE_NATIVE_DEBUGINFO, 1, &error));
        CHECK_OK(artifact_engine_set_tunable(engine, ARTIFACT_TUNABLE_PARSE_WASM_DEBUGINFO, 1, &error));
    }
    if (IS("no_simd")) {
        CHECK_OK(artifact_engine_set_feature(engine, ARTIFACT_FEATURE_SIMD, false, &error));
        set_flag(engine, "enable_simd", false);
    }
    if (IS("no_reftypes")) {
        CHECK_OK(artifact_engine_set_feature(engine, ARTIFACT_FEATURE_REFERENCE_TYPES, false, &error));
        set_flag(engine, "enable_safepoints", false);
    }
    if (IS("threads")) CHECK_OK(artifact_engine_set_feature(engine, ARTIFACT_FEATURE_THREADS, true, &error));
    if (IS("memory64")) CHECK_OK(artifact_engine_set_feature(engine, ARTIFACT_FEATURE_MEMORY64, true, &error));
    if (IS("ml")) CHECK_OK(artifact_engine_set_feature(engine, ARTIFACT_FEATURE_MODULE_LINKING, true, &error));
    if (IS("probestack_num")) CHECK_OK(artifact_engine_set_flag_num(engine, 0, "probestack_size_log2", 13, &error));
    if (IS("no_avx512")) {
        static const char *const names[] = {"has_avx512bitalg", "has_avx512dq", "has_avx512f", "has_avx512vbmi",
                                            "has_avx512vl"};
        for (size_t i = 0; i < COUNT(names); i++) {
            CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, names[i], false, &error));
        }
    }
    if (IS("t_aarch64")) CHECK_OK(artifact_engine_set_target(engine, "aarch64-unknown-linux-gnu", &error));
    if (IS("ver_none")) CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_NONE, NULL, &error));
    if (IS("ver_custom")) {
        CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, "my-embedder-1", &error));
    }
    if (IS("ver_empty")) CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, "", &error));
    return engine;
}

static const struct {
    const char *file, *host, *sentence; /* NULL: the genuine loader accepted it */
} verdicts[] = {
    {"addfib", "default", NULL},
    {"addfib", "ver_none", NULL},
    {"ver_none", "ver_none", NULL},
    {"ver_custom", "ver_custom", NULL},
    {"ver_custom", "ver_none", NULL},
    {"cfg_fuel", "fuel", NULL},
    {"ml_deep", "ml", NULL},
    {"cfg_no_addrmap", "default", NULL},
    {"addfib", "fuel", "Module was compiled without fuel support but it is enabled for the host"},
    {"cfg_fuel", "default", "Module was compiled with fuel support but it is not enabled for the host"},
    {"addfib", "static0", "Module was compiled with a static memory bound of '65536' but '0' is expected for the host"},
    {"addfib", "opt_none",
     "Module was compiled with a different 'opt_level' setting: expected 'speed' but host has 'none'"},
    {"addfib", "debug_info", "Module was compiled without debug information support but it is enabled for the host"},
    {"addfib", "no_simd",
     "Module was compiled with a different 'enable_simd' setting: expected 'true' but host has 'false'"},
    {"addfib", "no_reftypes",
     "Module was compiled with a different 'enable_safepoints' setting: expected 'true' but host has 'false'"},
    {"addfib", "threads", "Module was compiled without WebAssembly threads support but it is enabled for the host"},
    {"addfib", "memory64",
     "Module was compiled without WebAssembly 64-bit memory support but it is enabled for the host"},
    {"addfib", "ml", "Module was compiled without WebAssembly module linking support but it is enabled for the host"},
    {"addfib", "probestack_num",
     "Module was compiled with a different 'probestack_size_log2' setting: expected '12' but host has '13'"},
    {"addfib", "no_avx512",
     "Module was compiled with setting 'has_avx512bitalg' enabled but the host does not support it"},
    {"addfib", "t_aarch64", "Module was compiled for architecture 'x86_64'"},
    {"addfib", "ver_custom", "Module was compiled with incompatible version '0.33.0'"},
    {"cfg_opt_none", "fuel",
     "Module was compiled with a different 'opt_level' setting: expected 'none' but host has 'speed'"},
    {"target_win64", "default", "Module was compiled for operating system 'windows'"},
    {"target_win64", "t_aarch64", "Module was compiled for architecture 'x86_64'"},
    {"target_aarch64", "default", "Module was compiled for architecture 'aarch64'"},
    {"target_x64_baseline_libcalls", "default",
     "Module was compiled with a different 'enable_simd' setting: expected 'false' but host has 'true'"},
    {"ml_deep", "default",
     "Module was compiled with WebAssembly module linking support but it is not enabled for the host"},
    {"ver_custom", "default", "Module was compiled with incompatible Wasmtime version 'my-embedder-1'"},
    {"ver_none", "ver_custom", "Module was compiled with incompatible version ''"},
    {"ver_none", "ver_empty", NULL},
    {"addfib", "ver_empty", "Module was compiled with incompatible version '0.33.0'"},
    {"ver_custom", "ver_empty", "Module was compiled with incompatible version 'my-embedder-1'"},
};

TEST(wasmtime_verdicts) {
    for (size_t i = 0; i < COUNT(verdicts); i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.cwasm", verdicts[i].file);
        artifact_engine_t *engine = host(verdicts[i].host);
        artifact_t *artifact = open_path(fixture(name), NULL);
        artifact_error_t *error = GARBAGE;
        artifact_status_t status = artifact_check_compat(artifact, engine, &error);
        CHECK_STR(artifact_error_message(error), verdicts[i].sentence ? verdicts[i].sentence : "");
        CHECK((status == ARTIFACT_OK) == (verdicts[i].sentence == NULL));
        artifact_error_free(error);
        artifact_free(artifact);
        artifact_engine_free(engine);
    }
}

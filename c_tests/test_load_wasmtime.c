/* Modules of Wasmtime 0.33: mapped unchanged, or with the addresses of runtime helpers filled in. */
#include "check.h"
#include "native.h"

#if defined(__x86_64__)
enum { IS_X86 = 1 };
#else
enum { IS_X86 = 0 };
#endif

static loaded_t open_genuine(const char *name) {
    if (!IS_X86) SKIP("the genuine files are for x86-64");
    /* An engine that accepts the file, whatever this CPU has. Loading looks at the CPU all the same. */
    loaded_t loaded = {artifact_engine_new_wasmtime(), open_path(fixture(name), NULL), NULL};
    size_t count = 0;
    for (uint32_t map = 0; map < 2; map++) {
        for (size_t i = artifact_engine_flag_count(loaded.engine, map); i-- > 0;) {
            artifact_flag_t flag;
            CHECK_OK(artifact_engine_flag_at(loaded.engine, map, i, &flag, &error));
            CHECK_OK(artifact_engine_unset_flag(loaded.engine, map, flag.name, &error));
        }
        CHECK_OK(artifact_flag_count(loaded.artifact, map, &count, &error));
        for (size_t i = 0; i < count; i++) {
            artifact_flag_t flag;
            CHECK_OK(artifact_flag_at(loaded.artifact, map, i, &flag, &error));
            if (flag.kind == ARTIFACT_FLAG_ENUM) {
                CHECK_OK(artifact_engine_set_flag_enum(loaded.engine, map, flag.name, flag.text, &error));
            } else if (flag.kind == ARTIFACT_FLAG_NUM) {
                CHECK_OK(artifact_engine_set_flag_num(loaded.engine, map, flag.name, (uint8_t)flag.value, &error));
            } else {
                CHECK_OK(artifact_engine_set_flag_bool(loaded.engine, map, flag.name, flag.value, &error));
            }
        }
    }
    for (uint32_t feature = 0; feature < 11; feature++) {
        bool on = false;
        CHECK_OK(artifact_feature(loaded.artifact, feature, &on, &error));
        CHECK_OK(artifact_engine_set_feature(loaded.engine, feature, on, &error));
    }
    return loaded;
}

/* Loads a genuine file. false: it was compiled for instruction sets that this CPU, or valgrind's, does not have. */
static bool load_genuine(loaded_t *loaded) {
    artifact_error_t *error = NULL;
    artifact_status_t status = artifact_load(loaded->artifact, loaded->engine, NULL, &loaded->code, &error);
    if (status == ARTIFACT_INCOMPATIBLE) {
        CHECK(strstr(artifact_error_message(error), "the host does not support it") != NULL);
        artifact_error_free(error);
        return false;
    }
    CHECK_STATUS(status, ARTIFACT_OK);
    return true;
}

/* The first two parameters of a function of Wasmtime are contexts, which these functions ignore. */
typedef int32_t (*binary_fn)(void *, void *, int32_t, int32_t);

TEST(load_wasmtime_in_place) {
    loaded_t loaded = open_genuine("addfib.cwasm");
    if (!load_genuine(&loaded)) {
        unload(&loaded);
        SKIP("this CPU lacks instruction sets that the genuine file was compiled for");
    }
    binary_fn add;
    size_t size = 0;
    set_function(&add, artifact_code_symbol(loaded.code, 0, "_wasm_function_0", &size));
    CHECK(address_of(&add) && size == 17);
    CHECK(add(NULL, NULL, 40, 2) == 42);
    page_t text = page_of(address_of(&add));
    CHECK_STR(text.rights, "r-xp");
    CHECK(strstr(text.path, "addfib.cwasm") != NULL);
    if (text.dirty >= 0) CHECK(text.dirty == 0);
    char name[32];
    artifact_symbolized_t found;
    CHECK_STATUS(artifact_code_symbolize(loaded.code, (char *)address_of(&add) + 16, name, sizeof name, &found),
                 ARTIFACT_OK);
    CHECK_STR(name, "_wasm_function_0");
    CHECK(found.module == 0 && found.offset == 16);
    CHECK(!artifact_code_symbol(loaded.code, 0, "wasmtime_f32_ceil", NULL)); /* used, not defined */
    unload(&loaded);
}

static float ceiling(float value) { return value < 0 ? -1.0f : 77.0f; }

TEST(load_wasmtime_with_runtime_helpers) {
    loaded_t loaded = open_genuine("target_x64_baseline_libcalls.cwasm");
    artifact_error_t *error = NULL;
    artifact_import_t table[8] = {{NULL, NULL}};
    static const char *const names[] = {"f32_ceil", "f32_floor", "f32_trunc", "f32_nearest",
                                        "f64_ceil", "f64_floor", "f64_trunc", "f64_nearest"};
    char full[8][32];
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.symbols = table;
    for (size_t i = 0; i < 8; i++) {
        snprintf(full[i], sizeof full[i], "wasmtime_%s", names[i]);
        table[i].name = full[i];
        table[i].address = address_of(&(float (*[1])(float)){ceiling});
    }
    options.symbol_count = 8;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
    CHECK(error == NULL);
    float (*function)(void *, void *, float);
    SYMBOL(loaded.code, 0, "_wasm_function_0", function);
    CHECK((int)function(NULL, NULL, 1.5f) == 77);
    page_t text = page_of(address_of(&function));
    CHECK_STR(text.rights, "r-xp");
    CHECK(strstr(text.path, "memfd:artifact") != NULL);
    unload(&loaded);
}

TEST(load_every_genuine_file_of_this_machine) {
    static const char *const files[] = {"ml_deep.cwasm", "ml_two.cwasm", "libcalls.cwasm", "mem_table_global.cwasm"};
    for (size_t i = 0; i < COUNT(files); i++) {
        loaded_t loaded = open_genuine(files[i]);
        load_genuine(&loaded);
        unload(&loaded);
    }
}

TEST(load_refuses_a_genuine_file_of_another_machine) {
    need_machine();
    artifact_engine_t *engine = artifact_engine_new_wasmtime();
    artifact_t *artifact = open_path(fixture("target_s390x.cwasm"), NULL);
    artifact_code_t *code = GARBAGE;
    CHECK_FAILS(artifact_load(artifact, engine, NULL, &code, &error), ARTIFACT_INCOMPATIBLE, "architecture");
    CHECK(code == NULL);
    artifact_free(artifact);
    artifact_engine_free(engine);
}

/* Modules of Wasmtime export nothing, so any symbol of a loaded one is found. */
TEST(load_a_part_of_a_wasmtime_file) {
    loaded_t loaded = open_genuine("ml_two.cwasm");
    const size_t module = 1;
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.modules = &module, options.module_count = 1;
    artifact_error_t *error = NULL;
    artifact_status_t status = artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error);
    artifact_error_free(error);
    if (status == ARTIFACT_INCOMPATIBLE) {
        unload(&loaded);
        SKIP("this CPU lacks instruction sets that the genuine file was compiled for");
    }
    CHECK_STATUS(status, ARTIFACT_OK);
    CHECK(artifact_code_main_module(loaded.code) == 3);
    CHECK(artifact_code_symbol(loaded.code, 1, "_wasm_function_0", NULL));
    CHECK(!artifact_code_symbol(loaded.code, 0, "_wasm_function_0", NULL));
    unload(&loaded);
}

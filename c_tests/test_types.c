/* Type tables: built and read back, and those of genuine files. */
#include "check.h"
#include "image.h"
#include "support.h"

/* A builder of one module, to which the tests add types. */
static artifact_builder_t *module_builder(void) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    static bytes_t elf;
    if (!elf.data) elf = make_elf((shape_t){0});
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    artifact_engine_free(engine);
    return builder;
}

static artifact_t *finish(artifact_builder_t *builder) {
    bytes_t body = serialize(builder);
    artifact_t *artifact = open_bytes(&body, NULL);
    artifact_builder_free(builder);
    bytes_free(&body);
    return artifact;
}

static bool same_entity(const artifact_entity_t *a, const artifact_entity_t *b) {
    return a->kind == b->kind && a->index == b->index && a->wasm_type == b->wasm_type && a->init == b->init &&
           a->init_low == b->init_low && a->init_high == b->init_high && a->minimum == b->minimum &&
           a->maximum == b->maximum && a->has_maximum == b->has_maximum && a->is_mutable == b->is_mutable &&
           a->is_shared == b->is_shared && a->is_memory64 == b->is_memory64;
}

TEST(types_functions_round_trip) {
    static const uint8_t params[] = {ARTIFACT_WASM_I32, ARTIFACT_WASM_EXTERNREF, ARTIFACT_WASM_EXTERNREF,
                                     ARTIFACT_WASM_V128, ARTIFACT_WASM_EXNREF};
    static const uint8_t returns[] = {ARTIFACT_WASM_EXTERNREF, ARTIFACT_WASM_F64};
    artifact_builder_t *builder = module_builder();
    uint32_t index = 77;
    CHECK_OK(artifact_builder_add_func_type(builder, NULL, 0, NULL, 0, &index, &error));
    CHECK(index == 0);
    CHECK_OK(artifact_builder_add_func_type(builder, params, 5, returns, 2, &index, &error));
    CHECK(index == 1);
    CHECK_OK(artifact_builder_add_func_type(builder, params, 5, returns, 2, NULL, &error)); /* the same type again */
    artifact_t *artifact = finish(builder);
    size_t funcs = 77, modules = 77, instances = 77;
    CHECK_OK(artifact_type_counts(artifact, &funcs, &modules, &instances, &error));
    CHECK(funcs == 3 && modules == 0 && instances == 0);
    artifact_func_type_t type;
    CHECK_OK(artifact_func_type(artifact, 0, &type, &error));
    CHECK(type.params_len == 0 && type.returns_len == 0 && type.externref_params == 0 && type.externref_returns == 0);
    CHECK_OK(artifact_func_type(artifact, 1, &type, &error));
    CHECK(same_bytes(type.params, type.params_len, params, 5) &&
          same_bytes(type.returns, type.returns_len, returns, 2));
    /* In a type that the builder made, both counts are correct. */
    CHECK(type.externref_params == 2 && type.externref_returns == 1);
    memset(&type, 0x5a, sizeof type);
    CHECK_FAILS(artifact_func_type(artifact, 3, &type, &error), ARTIFACT_NOT_FOUND, "3");
    CHECK(type.params == NULL && type.params_len == 0 && type.returns == NULL && type.returns_len == 0);
    CHECK(type.externref_params == 0 && type.externref_returns == 0);
    artifact_free(artifact);
}

TEST(types_functions_refuse_invalid_types) {
    static const uint8_t bad[] = {ARTIFACT_WASM_I32, 8};
    artifact_builder_t *builder = module_builder();
    uint32_t index = 77;
    CHECK_FAILS(artifact_builder_add_func_type(builder, bad, 2, NULL, 0, &index, &error), ARTIFACT_INVALID_ARGUMENT,
                "8");
    CHECK(index == 0);
    CHECK_FAILS(artifact_builder_add_func_type(builder, NULL, 0, bad, 2, &index, &error), ARTIFACT_INVALID_ARGUMENT,
                "8");
    CHECK_FAILS(artifact_builder_add_func_type(builder, NULL, 2, NULL, 0, &index, &error), ARTIFACT_INVALID_ARGUMENT,
                "params");
    CHECK_FAILS(artifact_builder_add_func_type(builder, NULL, 0, NULL, 2, &index, &error), ARTIFACT_INVALID_ARGUMENT,
                "returns");
    CHECK_OK(artifact_builder_add_func_type(builder, NULL, 0, NULL, 0, &index, &error));
    CHECK(index == 0); /* failed calls added nothing */
    artifact_builder_free(builder);
}

/* One entity of every kind, and one global for every kind of initial value. */
static const artifact_entity_t entities[] = {
    {.kind = ARTIFACT_ENTITY_MEMORY, .minimum = UINT64_MAX, .is_memory64 = true},
    {.kind = ARTIFACT_ENTITY_MEMORY, .minimum = 1, .maximum = 2, .has_maximum = true, .is_shared = true},
    {.kind = ARTIFACT_ENTITY_MEMORY, .has_maximum = true},
    {.kind = ARTIFACT_ENTITY_TABLE, .wasm_type = ARTIFACT_WASM_FUNCREF, .minimum = UINT32_MAX},
    {.kind = ARTIFACT_ENTITY_TABLE,
     .wasm_type = ARTIFACT_WASM_EXTERNREF,
     .minimum = 1,
     .maximum = 9,
     .has_maximum = true},
    {.kind = ARTIFACT_ENTITY_FUNCTION, .index = 1},
    {.kind = ARTIFACT_ENTITY_TAG, .index = 0},
    {.kind = ARTIFACT_ENTITY_INSTANCE, .index = 0},
    {.kind = ARTIFACT_ENTITY_MODULE, .index = 0},
    {.kind = ARTIFACT_ENTITY_GLOBAL, .wasm_type = ARTIFACT_WASM_I32, .init_low = (uint64_t)-5, .is_mutable = true},
    {.kind = ARTIFACT_ENTITY_GLOBAL,
     .wasm_type = ARTIFACT_WASM_I64,
     .init = ARTIFACT_INIT_I64,
     .init_low = (uint64_t)-6},
    {.kind = ARTIFACT_ENTITY_GLOBAL, .wasm_type = ARTIFACT_WASM_F32, .init = ARTIFACT_INIT_F32, .init_low = 0x3fc00000},
    {.kind = ARTIFACT_ENTITY_GLOBAL, .wasm_type = ARTIFACT_WASM_F64, .init = ARTIFACT_INIT_F64, .init_low = UINT64_MAX},
    {.kind = ARTIFACT_ENTITY_GLOBAL,
     .wasm_type = ARTIFACT_WASM_V128,
     .init = ARTIFACT_INIT_V128,
     .init_low = 1,
     .init_high = 2},
    {.kind = ARTIFACT_ENTITY_GLOBAL, .wasm_type = ARTIFACT_WASM_I32, .init = ARTIFACT_INIT_GET_GLOBAL, .init_low = 7},
    {.kind = ARTIFACT_ENTITY_GLOBAL, .wasm_type = ARTIFACT_WASM_FUNCREF, .init = ARTIFACT_INIT_REF_NULL},
    {.kind = ARTIFACT_ENTITY_GLOBAL, .wasm_type = ARTIFACT_WASM_FUNCREF, .init = ARTIFACT_INIT_REF_FUNC, .init_low = 3},
    {.kind = ARTIFACT_ENTITY_GLOBAL, .wasm_type = ARTIFACT_WASM_EXNREF, .init = ARTIFACT_INIT_IMPORT},
};

/* Adds two functions, an empty instance type 0 and a module type 0. Tests fill instance type 1. */
static artifact_builder_t *type_builder(void) {
    artifact_builder_t *builder = module_builder();
    uint32_t index = 77;
    CHECK_OK(artifact_builder_add_func_type(builder, NULL, 0, NULL, 0, NULL, &error));
    CHECK_OK(artifact_builder_add_func_type(builder, NULL, 0, NULL, 0, NULL, &error));
    CHECK_OK(artifact_builder_add_instance_type(builder, &index, &error));
    CHECK(index == 0);
    CHECK_OK(artifact_builder_add_module_type(builder, 0, &index, &error));
    CHECK(index == 0);
    CHECK_OK(artifact_builder_add_instance_type(builder, &index, &error));
    CHECK(index == 1);
    return builder;
}

TEST(types_entities_of_every_kind_round_trip_in_order) {
    artifact_builder_t *builder = type_builder();
    uint32_t module_type = 77;
    CHECK_OK(artifact_builder_add_module_type(builder, 1, &module_type, &error));
    CHECK(module_type == 1);
    char name[32];
    for (size_t i = 0; i < COUNT(entities); i++) {
        snprintf(name, sizeof name, "%c größe %zu", (char)('z' - i), i); /* not in alphabetical order */
        CHECK_OK(artifact_builder_add_instance_export(builder, 1, name, &entities[i], &error));
        CHECK_OK(artifact_builder_add_module_import(builder, module_type, name, &entities[i], &error));
    }
    artifact_t *artifact = finish(builder);
    size_t exports = 0, imports = 0;
    uint32_t exports_of = 77;
    CHECK_OK(artifact_instance_type(artifact, 1, &exports, &error));
    CHECK_OK(artifact_module_type(artifact, 1, &imports, &exports_of, &error));
    CHECK(exports == COUNT(entities) && imports == COUNT(entities) && exports_of == 1);
    for (size_t i = 0; i < COUNT(entities); i++) {
        const char *exported = GARBAGE, *imported = GARBAGE;
        artifact_entity_t one, other;
        memset(&one, 0x5a, sizeof one), memset(&other, 0x5a, sizeof other);
        snprintf(name, sizeof name, "%c größe %zu", (char)('z' - i), i);
        CHECK_OK(artifact_instance_export(artifact, 1, i, &exported, &one, &error));
        CHECK_OK(artifact_module_import(artifact, 1, i, &imported, &other, &error));
        CHECK_STR(exported, name);
        CHECK_STR(imported, name);
        CHECK(same_entity(&one, &entities[i]) && same_entity(&other, &entities[i]));
    }
    CHECK_OK(artifact_instance_type(artifact, 0, &exports, &error));
    CHECK_OK(artifact_module_type(artifact, 0, &imports, &exports_of, &error));
    CHECK(exports == 0 && imports == 0 && exports_of == 0);
    artifact_free(artifact);
}

TEST(types_entities_refuse_invalid_values) {
    static const artifact_entity_t bad[] = {
        {.kind = 7},
        {.kind = UINT32_MAX},
        {.kind = ARTIFACT_ENTITY_FUNCTION, .index = 2},
        {.kind = ARTIFACT_ENTITY_TAG, .index = 2},
        {.kind = ARTIFACT_ENTITY_INSTANCE, .index = 2},
        {.kind = ARTIFACT_ENTITY_MODULE, .index = 1},
        {.kind = ARTIFACT_ENTITY_MODULE, .index = UINT32_MAX},
        {.kind = ARTIFACT_ENTITY_TABLE, .wasm_type = 8},
        {.kind = ARTIFACT_ENTITY_TABLE, .minimum = UINT64_C(1) << 32},
        {.kind = ARTIFACT_ENTITY_TABLE, .maximum = UINT64_C(1) << 32, .has_maximum = true},
        {.kind = ARTIFACT_ENTITY_GLOBAL, .wasm_type = 8},
        {.kind = ARTIFACT_ENTITY_GLOBAL, .init = 9},
        {.kind = ARTIFACT_ENTITY_GLOBAL, .init = ARTIFACT_INIT_I32, .init_low = UINT64_C(1) << 33},
        {.kind = ARTIFACT_ENTITY_GLOBAL, .init = ARTIFACT_INIT_F32, .init_low = UINT64_C(1) << 32},
        {.kind = ARTIFACT_ENTITY_GLOBAL, .init = ARTIFACT_INIT_GET_GLOBAL, .init_low = UINT64_C(1) << 32},
        {.kind = ARTIFACT_ENTITY_GLOBAL, .init = ARTIFACT_INIT_REF_FUNC, .init_low = UINT64_C(1) << 32},
    };
    artifact_builder_t *builder = type_builder();
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_FAILS(artifact_builder_add_instance_export(builder, 1, "x", &bad[i], &error), ARTIFACT_INVALID_ARGUMENT,
                    "");
        CHECK_FAILS(artifact_builder_add_module_import(builder, 0, "x", &bad[i], &error), ARTIFACT_INVALID_ARGUMENT,
                    "");
    }
    artifact_t *artifact = finish(builder);
    size_t count = 77;
    CHECK_OK(artifact_instance_type(artifact, 1, &count, &error));
    CHECK(count == 0);
    artifact_free(artifact);
}

TEST(types_names_and_indexes_are_checked) {
    artifact_entity_t memory = {.kind = ARTIFACT_ENTITY_MEMORY};
    artifact_builder_t *builder = type_builder();
    uint32_t index = 77;
    CHECK_OK(artifact_builder_add_instance_export(builder, 1, "twice", &memory, &error));
    CHECK_FAILS(artifact_builder_add_instance_export(builder, 1, "twice", &memory, &error), ARTIFACT_INVALID_ARGUMENT,
                "twice");
    CHECK_OK(artifact_builder_add_module_import(builder, 0, "twice", &memory, &error));
    CHECK_FAILS(artifact_builder_add_module_import(builder, 0, "twice", &memory, &error), ARTIFACT_INVALID_ARGUMENT,
                "twice");
    CHECK_FAILS(artifact_builder_add_instance_export(builder, 2, "x", &memory, &error), ARTIFACT_INVALID_ARGUMENT, "2");
    CHECK_FAILS(artifact_builder_add_module_import(builder, 1, "x", &memory, &error), ARTIFACT_INVALID_ARGUMENT, "1");
    CHECK_FAILS(artifact_builder_add_instance_export(builder, 1, "\xff", &memory, &error), ARTIFACT_INVALID_ARGUMENT,
                "UTF-8");
    CHECK_FAILS(artifact_builder_add_module_import(builder, 0, "\xff", &memory, &error), ARTIFACT_INVALID_ARGUMENT,
                "UTF-8");
    CHECK_FAILS(artifact_builder_add_module_type(builder, 2, &index, &error), ARTIFACT_INVALID_ARGUMENT, "2");
    CHECK(index == 0);
    CHECK_OK(artifact_builder_add_instance_export(builder, 1, "", &memory, &error)); /* Wasm allows empty names */
    artifact_builder_free(builder);
}

TEST(types_reading_past_the_end) {
    artifact_t *artifact = finish(type_builder());
    size_t count = 77;
    uint32_t exports = 77;
    const char *name = GARBAGE;
    artifact_entity_t entity;
    memset(&entity, 0x5a, sizeof entity);
    static const artifact_entity_t empty;
    CHECK_FAILS(artifact_instance_type(artifact, 2, &count, &error), ARTIFACT_NOT_FOUND, "2");
    CHECK(count == 0);
    count = 77;
    CHECK_FAILS(artifact_module_type(artifact, 1, &count, &exports, &error), ARTIFACT_NOT_FOUND, "1");
    CHECK(count == 0 && exports == 0);
    CHECK_FAILS(artifact_instance_export(artifact, 1, 0, &name, &entity, &error), ARTIFACT_NOT_FOUND, "");
    CHECK(name == NULL && same_entity(&entity, &empty));
    CHECK_FAILS(artifact_instance_export(artifact, SIZE_MAX, 0, &name, &entity, &error), ARTIFACT_NOT_FOUND, "");
    name = GARBAGE, entity.kind = 77;
    CHECK_FAILS(artifact_module_import(artifact, 0, 0, &name, &entity, &error), ARTIFACT_NOT_FOUND, "");
    CHECK(name == NULL && same_entity(&entity, &empty));
    CHECK_FAILS(artifact_module_import(artifact, 1, 0, &name, &entity, &error), ARTIFACT_NOT_FOUND, "");
    artifact_free(artifact);
}

/* ---- a genuine file ---- */

TEST(types_of_a_genuine_file) {
    artifact_t *artifact = open_path(fixture("ml_types.cwasm"), NULL);
    size_t funcs = 0, modules = 0, instances = 0, imports = 0, exports = 0;
    CHECK_OK(artifact_type_counts(artifact, &funcs, &modules, &instances, &error));
    CHECK(funcs == 3 && modules == 5 && instances == 8);
    artifact_func_type_t type;
    CHECK_OK(artifact_func_type(artifact, 0, &type, &error));
    CHECK(type.params_len == 1 && type.params[0] == ARTIFACT_WASM_I32);
    CHECK(type.returns_len == 1 && type.returns[0] == ARTIFACT_WASM_I64);
    uint32_t of = 77;
    CHECK_OK(artifact_module_type(artifact, 1, &imports, &of, &error));
    CHECK(imports == 2 && of == 4);
    static const struct {
        size_t index;
        const char *name;
        artifact_entity_t entity;
    } constants[] = {
        {0,
         "vc",
         {.wasm_type = ARTIFACT_WASM_V128,
          .init = ARTIFACT_INIT_V128,
          .init_low = UINT64_C(0xfedcba9876543210),
          .init_high = UINT64_C(0x8123456789abcdef)}},
        {1, "fc", {.wasm_type = ARTIFACT_WASM_F32, .init = ARTIFACT_INIT_F32, .init_low = 1069547520}},
        {2,
         "dc",
         {.wasm_type = ARTIFACT_WASM_F64, .init = ARTIFACT_INIT_F64, .init_low = UINT64_C(13835621005235585024)}},
        {3, "ic", {.wasm_type = ARTIFACT_WASM_I32, .init = ARTIFACT_INIT_I32, .init_low = (uint64_t)-5}},
        {4, "lc", {.wasm_type = ARTIFACT_WASM_I64, .init = ARTIFACT_INIT_I64, .init_low = (uint64_t)-6}},
        {5, "rn", {.wasm_type = ARTIFACT_WASM_FUNCREF, .init = ARTIFACT_INIT_REF_NULL}},
        {6, "rf", {.wasm_type = ARTIFACT_WASM_FUNCREF, .init = ARTIFACT_INIT_REF_FUNC}},
        {7, "f0", {.kind = ARTIFACT_ENTITY_FUNCTION, .index = 1}},
        {8, "gg", {.wasm_type = ARTIFACT_WASM_I32, .init = ARTIFACT_INIT_GET_GLOBAL}},
    };
    CHECK_OK(artifact_instance_type(artifact, 7, &exports, &error));
    CHECK(exports == COUNT(constants));
    for (size_t i = 0; i < COUNT(constants); i++) {
        const char *name = GARBAGE;
        artifact_entity_t found;
        CHECK_OK(artifact_instance_export(artifact, 7, constants[i].index, &name, &found, &error));
        CHECK_STR(name, constants[i].name);
        CHECK(same_entity(&found, &constants[i].entity));
    }
    artifact_free(artifact);
}

/* The original implementation stored the count of parameters here. The library reports what the file has. */
TEST(types_keep_the_count_of_returned_references_as_stored) {
    artifact_t *artifact = open_path(fixture("types.cwasm"), NULL);
    artifact_func_type_t type;
    CHECK_OK(artifact_func_type(artifact, 1, &type, &error));
    CHECK(type.externref_params == 2 && type.returns_len == 1 && type.externref_returns == 2);
    CHECK_OK(artifact_func_type(artifact, 2, &type, &error));
    CHECK(type.externref_params == 0 && type.returns_len == 3 && type.externref_returns == 0);
    artifact_free(artifact);
}

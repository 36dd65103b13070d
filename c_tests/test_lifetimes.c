/* Handles may be freed in any order, and borrowed values live as long as the header says. */
#include "check.h"
#include "image.h"
#include "support.h"

/* ---- every order ---- */

enum { ENGINE, BUILDER, ARTIFACT, REPORT, ERROR, BUFFER, REBUILDER, HANDLES };

typedef struct world_t {
    artifact_engine_t *engine;
    artifact_builder_t *builder, *rebuilder;
    artifact_t *artifact;
    artifact_report_t *report;
    artifact_error_t *error;
    artifact_buffer_t *buffer;
    bool gone[HANDLES];
} world_t;

static bytes_t module_bytes;

static void make_world(world_t *world) {
    memset(world, 0, sizeof *world);
    if (!module_bytes.data) module_bytes = make_elf((shape_t){0});
    world->engine = plain_engine();
    world->builder = new_builder(world->engine);
    CHECK_OK(artifact_builder_add_module(world->builder, module_bytes.data, module_bytes.len, NULL, &error));
    CHECK_OK(artifact_serialize(world->builder, &world->buffer, &error));
    CHECK_OK(artifact_open_bytes(artifact_buffer_data(world->buffer), artifact_buffer_len(world->buffer), world->engine,
                                 NULL, &world->artifact, &error));
    CHECK_OK(artifact_builder_new_from_artifact(world->artifact, &world->rebuilder, &error));
    CHECK_OK(artifact_engine_set_target(world->engine, "s390x-unknown-linux-gnu", &error));
    CHECK_OK(artifact_compat_report(world->artifact, world->engine, &world->report, &error));
    CHECK_STATUS(artifact_check_compat(world->artifact, world->engine, &world->error), ARTIFACT_INCOMPATIBLE);
}

static void use(const world_t *world) {
    if (!world->gone[ENGINE]) CHECK_STR(artifact_engine_target(world->engine), "s390x-unknown-linux-gnu");
    if (!world->gone[ARTIFACT]) {
        const char *target = NULL;
        CHECK_OK(artifact_target(world->artifact, &target, &error));
        CHECK_STR(target, HOST_TARGET);
        artifact_section_t section;
        CHECK_OK(artifact_section(world->artifact, 0, ".data", &section, &error));
        CHECK(section.bytes.len == DATA_LEN && memcmp(section.bytes.data, "datadata", DATA_LEN) == 0);
    }
    if (!world->gone[REPORT]) {
        artifact_report_entry_t entry;
        CHECK_OK(artifact_report_at(world->report, 0, &entry, &error));
        CHECK_STR(entry.engine_value, "s390x");
    }
    if (!world->gone[ERROR]) {
        CHECK_STR(artifact_error_message(world->error), "Module was compiled for architecture 'x86_64'");
    }
    if (!world->gone[BUFFER])
        CHECK(memcmp(artifact_buffer_data(world->buffer),
                     "\x7f"
                     "ELF",
                     4) == 0);
    bytes_t first = {0}, second = {0};
    if (!world->gone[BUILDER]) first = serialize(world->builder);
    if (!world->gone[REBUILDER]) second = serialize(world->rebuilder);
    if (first.data && second.data) CHECK(same_bytes(first.data, first.len, second.data, second.len));
    bytes_free(&first), bytes_free(&second);
}

static void end(world_t *world, size_t which) {
    switch (which) {
    case ENGINE:
        artifact_engine_free(world->engine);
        break;
    case BUILDER:
        artifact_builder_free(world->builder);
        break;
    case ARTIFACT:
        artifact_free(world->artifact);
        break;
    case REPORT:
        artifact_report_free(world->report);
        break;
    case ERROR:
        artifact_error_free(world->error);
        break;
    case BUFFER:
        artifact_buffer_free(world->buffer);
        break;
    default:
        artifact_builder_free(world->rebuilder);
    }
    world->gone[which] = true;
}

/* Frees any two handles first, in either order, and then the others. After each step all remaining handles still work.
 */
TEST(lifetimes_free_in_many_orders) {
    for (size_t first = 0; first < HANDLES; first++) {
        for (size_t second = 0; second < HANDLES; second++) {
            for (size_t step = 1; step < HANDLES; step++) {
                world_t world;
                make_world(&world);
                end(&world, first);
                use(&world);
                if (!world.gone[second]) end(&world, second);
                use(&world);
                for (size_t i = 0; i < HANDLES; i++) { /* 7 is a prime: each step visits every handle */
                    size_t which = (second + i * step) % HANDLES;
                    if (world.gone[which]) continue;
                    end(&world, which);
                    use(&world);
                }
            }
        }
    }
    bytes_free(&module_bytes);
}

TEST(lifetimes_free_null) {
    artifact_engine_free(NULL);
    artifact_builder_free(NULL);
    artifact_free(NULL);
    artifact_report_free(NULL);
    artifact_error_free(NULL);
    artifact_buffer_free(NULL);
}

/* ---- snapshots ---- */

TEST(lifetimes_builder_keeps_a_snapshot_of_the_engine) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    bytes_t elf = make_elf((shape_t){0});
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    bytes_t before = serialize(builder);
    CHECK_OK(artifact_engine_set_target(engine, "s390x-unknown-linux-gnu", &error));
    CHECK_OK(artifact_engine_set_producer(engine, "other", &error));
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "new", true, &error));
    artifact_engine_free(engine);
    bytes_t after = serialize(builder);
    CHECK(same_bytes(before.data, before.len, after.data, after.len));
    artifact_builder_free(builder);
    bytes_free(&elf), bytes_free(&before), bytes_free(&after);
}

TEST(lifetimes_builder_borrows_modules_until_it_is_freed) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    bytes_t elf = make_elf((shape_t){0});
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    elf.data[sizeof(Elf64_Ehdr)] = 0x90; /* the first byte of .text: not copied, so the change shows */
    bytes_t body = serialize(builder);
    CHECK(body.data[sizeof(Elf64_Ehdr)] == 0x90);
    artifact_builder_free(builder); /* must not read the module */
    bytes_free(&elf);
    artifact_engine_free(engine);
    bytes_free(&body);
}

TEST(lifetimes_builder_from_an_artifact_keeps_it) {
    bytes_t body = make_body("artifact", "1");
    write_file(scratch("kept.cwasm"), body.data, body.len);
    artifact_t *artifact = open_path(scratch("kept.cwasm"), NULL);
    artifact_builder_t *builder = GARBAGE;
    CHECK_OK(artifact_builder_new_from_artifact(artifact, &builder, &error));
    artifact_free(artifact);
    CHECK(unlink(scratch("kept.cwasm")) == 0);
    CHECK(artifact_builder_module_count(builder) == 1);
    CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
    bytes_t again = serialize(builder);
    CHECK(same_bytes(again.data, again.len, body.data, body.len));
    artifact_builder_free(builder);
    bytes_free(&body), bytes_free(&again);
}

/* ---- borrowed values ---- */

TEST(lifetimes_text_of_an_artifact_stays_valid) {
    artifact_t *artifact = open_path(fixture("ml_types.cwasm"), NULL);
    const char *target = NULL, *name = NULL;
    artifact_flag_t flags[25];
    artifact_entity_t entity;
    artifact_func_type_t type, again;
    CHECK_OK(artifact_target(artifact, &target, &error));
    CHECK_OK(artifact_func_type(artifact, 0, &type, &error));
    CHECK_OK(artifact_instance_export(artifact, 7, 0, &name, &entity, &error));
    const char *producer = artifact_producer(artifact);
    for (size_t i = 0; i < 25; i++) CHECK_OK(artifact_flag_at(artifact, ARTIFACT_FLAGS_SHARED, i, &flags[i], &error));
    for (size_t i = 0; i < 3; i++) CHECK_OK(artifact_func_type(artifact, i, &again, &error));
    for (size_t i = 0; i < artifact_module_count(artifact); i++) {
        artifact_section_t section;
        artifact_symbol_t symbol;
        CHECK_OK(artifact_section_at(artifact, i, 1, &section, &error));
        CHECK_OK(artifact_symbol_at(artifact, i, 1, &symbol, &error));
    }
    CHECK_STR(target, HOST_TARGET);
    CHECK_STR(producer, "wasmtime");
    CHECK_STR(name, "vc");
    CHECK(type.params_len == 1 && type.params[0] == ARTIFACT_WASM_I32);
    CHECK_STR(flags[0].name, "avoid_div_traps");
    CHECK_STR(flags[24].name, "use_pinned_reg_as_heap_base");
    artifact_free(artifact);
}

TEST(lifetimes_text_of_an_engine_stays_valid_after_changes) {
    artifact_engine_t *engine = plain_engine();
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, "first", &error));
    const char *target = artifact_engine_target(engine), *producer = artifact_engine_producer(engine);
    const char *version = artifact_engine_version(engine);
    CHECK_OK(artifact_engine_set_target(engine, "s390x-unknown-linux-gnu", &error));
    CHECK_OK(artifact_engine_set_producer(engine, "other", &error));
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, "second", &error));
    CHECK_STR(artifact_engine_target(engine), "s390x-unknown-linux-gnu");
    CHECK_STR(artifact_engine_producer(engine), "other");
    CHECK_STR(artifact_engine_version(engine), "second");
    CHECK_STR(target, HOST_TARGET);
    CHECK_STR(producer, "artifact");
    CHECK_STR(version, "first");
    artifact_engine_free(engine);
}

TEST(lifetimes_text_of_an_artifact_outlives_the_engine) {
    artifact_engine_t *engine = genuine_engine();
    artifact_t *artifact = open_path(fixture("addfib.cwasm"), engine);
    artifact_engine_t *other = artifact_engine_clone(engine);
    artifact_engine_free(engine);
    CHECK_OK(artifact_check_compat(artifact, other, &error));
    artifact_engine_free(other);
    CHECK_STR(artifact_producer(artifact), "wasmtime");
    artifact_free(artifact);
}

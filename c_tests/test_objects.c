/* artifact_builder_add_objects(): the linked module, and objects that are refused. test_load*.c check that the module
 * behaves like one that the system linker made. */
#include "check.h"
#include "native.h"

#include <elf.h>

/* Reads an object that native.cmake compiled. */
static bytes_t object(const char *name) {
    char file[64];
    snprintf(file, sizeof file, "%s.o", name);
    skip_without(file);
    bytes_t bytes = read_file(native(file));
    uint16_t machine = 0;
    memcpy(&machine, bytes.data + offsetof(Elf64_Ehdr, e_machine), sizeof machine);
    if (machine != EM_X86_64 && machine != EM_AARCH64) SKIP("the library does not link objects of this machine");
    return bytes;
}

static artifact_object_t named(const char *name, const bytes_t *bytes) {
    return (artifact_object_t){name, bytes->data, bytes->len};
}

static artifact_status_t add_one(artifact_builder_t *builder, const bytes_t *bytes, size_t *index,
                                 artifact_error_t **error) {
    const artifact_object_t one = named("one.o", bytes);
    return artifact_builder_add_objects(builder, &one, 1, NULL, index, error);
}

/* Saves an artifact of one object. */
static void pack_object(const char *file, const char *name) {
    bytes_t bytes = object(name);
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = new_builder(engine);
    size_t index = 9;
    CHECK_OK(add_one(builder, &bytes, &index, &error));
    CHECK(index == 0 && artifact_builder_module_count(builder) == 1);
    /* Objects are needed during the call only. */
    memset(bytes.data, 0xee, bytes.len);
    bytes_free(&bytes);
    CHECK_OK(artifact_serialize_to_file(builder, scratch(file), NULL, &error));
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}

TEST(objects_become_one_module) {
    bytes_t imports = object("imports"), host = object("objects_host");
    artifact_object_t both[] = {named("imports.o", &imports), named("host.o", &host)};
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = new_builder(engine);
    size_t index = 9;
    CHECK_OK(artifact_builder_add_objects(builder, both, 2, NULL, &index, &error));
    CHECK(index == 0);
    CHECK_OK(artifact_builder_add_objects(builder, both, 2, NULL, NULL, &error)); /* index may be NULL */
    CHECK(artifact_builder_module_count(builder) == 2);
    CHECK_OK(artifact_serialize_to_file(builder, scratch("both.artifact"), NULL, &error));
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    loaded_t loaded = open_packed("both.artifact");
    /* No symbol is left undefined, so it loads without a host. */
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, &error));
    for (size_t module = 0; module < 2; module++) {
        int (*use_first)(int), (*use_value)(void), (*has_weak)(void);
        SYMBOL(loaded.code, module, "use_first", use_first);
        SYMBOL(loaded.code, module, "use_value", use_value);
        SYMBOL(loaded.code, module, "has_weak", has_weak);
        CHECK(use_first(20) == 41 && use_value() == 1234 && has_weak() == -1);
        CHECK(artifact_code_symbol(loaded.code, module, "host_second", NULL));  /* protected */
        CHECK(!artifact_code_symbol(loaded.code, module, "host_hidden", NULL)); /* hidden */
        CHECK(!artifact_code_symbol(loaded.code, module, "no_such_symbol", NULL));
    }
    unload(&loaded);
    bytes_free(&imports);
    bytes_free(&host);
}

TEST(objects_leave_undefined_symbols_to_the_loader) {
    pack_object("imports.artifact", "imports");
    loaded_t loaded = open_packed("imports.artifact");
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, &error), ARTIFACT_UNRESOLVED,
                "host_first|host_second|host_value");
    unload(&loaded);
}

TEST(objects_are_linked_deterministically) {
    bytes_t basic = object("basic");
    artifact_engine_t *engine = artifact_engine_new();
    bytes_t made[3];
    for (size_t i = 0; i < 3; i++) {
        artifact_builder_t *builder = new_builder(engine);
        artifact_link_options_t options = ARTIFACT_LINK_OPTIONS_INIT;
        options.flags = i == 2 ? ARTIFACT_LINK_NO_DEBUG : 0;
        const artifact_object_t one = named("basic.o", &basic);
        CHECK_OK(artifact_builder_add_objects(builder, &one, 1, &options, NULL, &error));
        made[i] = serialize(builder);
        artifact_builder_free(builder);
    }
    CHECK(same_bytes(made[0].data, made[0].len, made[1].data, made[1].len));
    /* Debug sections are kept unless the options say otherwise. */
    artifact_section_t section;
    for (size_t i = 0; i < 3; i += 2) {
        artifact_t *artifact = open_bytes(&made[i], NULL);
        CHECK_STATUS(artifact_section(artifact, 0, ".text", &section, NULL), ARTIFACT_OK);
        CHECK_STATUS(artifact_section(artifact, 0, ".debug_info", &section, NULL),
                     i ? ARTIFACT_NOT_FOUND : ARTIFACT_OK);
        artifact_free(artifact);
    }
    CHECK(made[2].len < made[0].len);
    for (size_t i = 0; i < 3; i++) bytes_free(&made[i]);
    artifact_engine_free(engine);
    bytes_free(&basic);
}

TEST(relative_relocations_are_packed_if_asked) {
    bytes_t exits = object("exits"); /* registers destructors: a pointer in .fini_array */
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = new_builder(engine);
    const artifact_object_t one = named("exits.o", &exits);
    artifact_link_options_t options = ARTIFACT_LINK_OPTIONS_INIT;
    options.flags = ARTIFACT_LINK_PACK_RELATIVE_RELOCS;
    CHECK_OK(artifact_builder_add_objects(builder, &one, 1, NULL, NULL, &error));
    CHECK_OK(artifact_builder_add_objects(builder, &one, 1, &options, NULL, &error));
    options.flags = ARTIFACT_LINK_PACK_RELATIVE_RELOCS << 1;
    CHECK_FAILS(artifact_builder_add_objects(builder, &one, 1, &options, NULL, &error), ARTIFACT_UNSUPPORTED, "flags");
    bytes_t made = serialize(builder);
    artifact_t *artifact = open_bytes(&made, NULL);
    artifact_section_t section;
    CHECK_STATUS(artifact_section(artifact, 0, ".relr.dyn", &section, NULL), ARTIFACT_NOT_FOUND);
    CHECK_STATUS(artifact_section(artifact, 1, ".relr.dyn", &section, NULL), ARTIFACT_OK);
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&made);
    bytes_free(&exits);
}

/* Returns an archive with one member. */
static bytes_t archive_of(const char *name, const bytes_t *member) {
    char header[8 + 60 + 1];
    int len =
        snprintf(header, sizeof header, "!<arch>\n%-16s%-12d%-6d%-6d%-8d%-10zu`\n", name, 0, 0, 0, 644, member->len);
    CHECK(len == 68);
    bytes_t archive = {calloc(1, 68 + member->len + 1), 68 + member->len + member->len % 2, 0};
    memcpy(archive.data, header, 68);
    memcpy(archive.data + 68, member->data, member->len);
    return archive;
}

TEST(archives_supply_what_is_needed) {
    bytes_t imports = object("imports"), host = object("objects_host");
    bytes_t first = archive_of("imports.o/", &imports), second = archive_of("host.o/", &host);
    artifact_object_t inputs[] = {named("host.a", &second), named("imports.o", &imports), named("imports.a", &first)};
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_objects(builder, inputs, 2, NULL, NULL, &error));
    artifact_link_options_t options = ARTIFACT_LINK_OPTIONS_INIT;
    const char *entries[] = {"use_first", "use_value", "no_such_entry"};
    options.entries = entries;
    options.entry_count = 3;
    inputs[1] = inputs[2];
    CHECK_FAILS(artifact_builder_add_objects(builder, inputs, 2, &options, NULL, &error), ARTIFACT_INVALID_ARGUMENT,
                "'no_such_entry'");
    options.entry_count = 2;
    CHECK_OK(artifact_builder_add_objects(builder, inputs, 2, &options, NULL, &error));
    options.entry_count = 0;
    options.flags = ARTIFACT_LINK_GC_SECTIONS;
    CHECK_FAILS(artifact_builder_add_objects(builder, inputs, 2, &options, NULL, &error), ARTIFACT_INVALID_ARGUMENT,
                "only archives");
    options.flags |= ARTIFACT_LINK_WHOLE_ARCHIVE;
    CHECK_OK(artifact_builder_add_objects(builder, inputs, 2, &options, NULL, &error));
    CHECK_OK(artifact_serialize_to_file(builder, scratch("archives.artifact"), NULL, &error));
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    loaded_t loaded = open_packed("archives.artifact");
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, &error));
    for (size_t module = 0; module < 3; module++) {
        int (*use_first)(int), (*use_value)(void);
        SYMBOL(loaded.code, module, "use_first", use_first);
        SYMBOL(loaded.code, module, "use_value", use_value);
        CHECK(use_first(20) == 41 && use_value() == 1234);
        CHECK(!artifact_code_symbol(loaded.code, module, "host_first", NULL) == (module == 1));
    }
    unload(&loaded);
    /* An archive is not a module, and a damaged one is no archive. */
    engine = artifact_engine_new();
    builder = new_builder(engine);
    CHECK_FAILS(artifact_builder_add_module(builder, second.data, second.len, NULL, &error), ARTIFACT_INVALID_ARGUMENT,
                "an archive; pass it among the objects to link");
    for (size_t len = 8; len < second.len; len += len < 68 ? 1 : 97) {
        bytes_t cut = bytes_copy(second.data, len);
        artifact_object_t damaged[] = {named("imports.o", &imports), named("host.a", &cut)};
        artifact_status_t expected = len == 8 ? ARTIFACT_OK : ARTIFACT_TRUNCATED;
        CHECK_STATUS(artifact_builder_add_objects(builder, damaged, 2, NULL, NULL, NULL), expected);
        bytes_free(&cut);
    }
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&first);
    bytes_free(&second);
    bytes_free(&imports);
    bytes_free(&host);
}

/* Expects that adding fails and leaves the builder unchanged. */
static void refuses(const artifact_object_t *objects, size_t count, artifact_status_t status, const char *words) {
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = new_builder(engine);
    size_t index = 77;
    CHECK_FAILS(artifact_builder_add_objects(builder, objects, count, NULL, &index, &error), status, words);
    CHECK(index == 0 && artifact_builder_module_count(builder) == 0);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}

TEST(objects_that_cannot_be_linked) {
    refuses(NULL, 0, ARTIFACT_INVALID_ARGUMENT, "at least one");
    refuses(NULL, 1, ARTIFACT_INVALID_ARGUMENT, "objects|NULL");
    const artifact_object_t nothing = {"nothing.o", NULL, 5};
    refuses(&nothing, 1, ARTIFACT_INVALID_ARGUMENT, "data|NULL");
    bytes_t bytes =
        bytes_copy("#!/bin/sh\necho this is a script, and one longer than an ELF header is: 64 bytes\n", 78);
    const artifact_object_t script = named("script.o", &bytes);
    refuses(&script, 1, ARTIFACT_INVALID_ARGUMENT, "script.o: |ELF");
    const artifact_object_t unnamed[] = {named(NULL, &bytes)};
    refuses(unnamed, 1, ARTIFACT_INVALID_ARGUMENT, "object 0: ");
    const artifact_object_t bad_name = named("\xff", &bytes);
    refuses(&bad_name, 1, ARTIFACT_INVALID_ARGUMENT, "name|UTF-8");
    bytes_free(&bytes);

    bytes_t small = object("small"), thread = object("tls_own_static"), direct = object("direct");
    bytes_t versioned = object("versioned");
    const artifact_object_t twice[] = {named("first.o", &small), named("second.o", &small)};
    refuses(twice, 2, ARTIFACT_INVALID_ARGUMENT, "duplicate symbol '| in first.o and second.o");
    const artifact_object_t local = named("local.o", &thread);
    refuses(&local, 1, ARTIFACT_UNSUPPORTED,
            "local.o:(.text|: relocation R_| is initial exec, |-ftls-model=global-dynamic");
    const artifact_object_t data = named("direct.o", &direct);
    refuses(&data, 1, ARTIFACT_UNSUPPORTED,
            "direct.o:(.text|+0x|: relocation R_| against symbol 'host_value' |hidden: add");
    const artifact_object_t definition = named("versioned.o", &versioned);
    refuses(&definition, 1, ARTIFACT_UNSUPPORTED,
            "versioned.o: symbol 'plain@VERSION_1' has a version and is defined|remove .symver");
    bytes_t shared = read_file(native("small"));
    const artifact_object_t image = named("small.so", &shared);
    refuses(&image, 1, ARTIFACT_INVALID_ARGUMENT, "small.so: |shared object");
    bytes_free(&small), bytes_free(&thread), bytes_free(&direct), bytes_free(&versioned), bytes_free(&shared);
}

TEST(objects_of_another_machine_are_refused) {
    bytes_t small = object("small");
    artifact_engine_t *engine = artifact_engine_new();
    static const char *const targets[] = {"x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu",
                                          "s390x-unknown-linux-gnu"};
    size_t accepted = 0;
    for (size_t i = 0; i < COUNT(targets); i++) {
        CHECK_OK(artifact_engine_set_target(engine, targets[i], &error));
        artifact_builder_t *builder = new_builder(engine);
        artifact_error_t *error = NULL;
        artifact_status_t status = add_one(builder, &small, NULL, &error);
        if (status == ARTIFACT_OK) {
            accepted++;
        } else {
            check_error(__FILE__, __LINE__, error, ARTIFACT_INVALID_ARGUMENT, "one.o: ");
            check_words(__FILE__, __LINE__, artifact_error_message(error), targets[i]);
        }
        artifact_error_free(error);
        artifact_builder_free(builder);
    }
    CHECK(accepted == 1);
    artifact_engine_free(engine);
    bytes_free(&small);
}

TEST(objects_with_options_of_the_future) {
    bytes_t small = object("small");
    const artifact_object_t one = named("small.o", &small);
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = new_builder(engine);
    artifact_link_options_t options = ARTIFACT_LINK_OPTIONS_INIT;
    options.flags = UINT64_C(1) << 63;
    CHECK_FAILS(artifact_builder_add_objects(builder, &one, 1, &options, NULL, &error), ARTIFACT_UNSUPPORTED, "flags");
    options.flags = 1;
    options.size = 3;
    CHECK_FAILS(artifact_builder_add_objects(builder, &one, 1, &options, NULL, &error), ARTIFACT_INVALID_ARGUMENT,
                "size");
    options.size = sizeof options.size; /* flags are outside the struct, so they are ignored */
    options.flags = UINT64_MAX;
    CHECK_OK(artifact_builder_add_objects(builder, &one, 1, &options, NULL, &error));
    bytes_t bytes = serialize(builder);
    artifact_t *artifact = open_bytes(&bytes, NULL);
    artifact_builder_t *copy = NULL;
    CHECK_OK(artifact_builder_new_from_artifact(artifact, &copy, &error));
    CHECK_FAILS(artifact_builder_add_objects(copy, &one, 1, NULL, NULL, &error), ARTIFACT_INVALID_ARGUMENT, "builder");
    CHECK_FAILS(artifact_builder_add_objects(NULL, &one, 1, NULL, NULL, &error), ARTIFACT_INVALID_ARGUMENT, "builder");
    artifact_builder_free(copy);
    artifact_free(artifact);
    bytes_free(&bytes);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&small);
}

/* After any change to an object, adding it fails cleanly or gives a module that opens. */
TEST(objects_damaged) {
    bytes_t small = object("small");
    artifact_engine_t *engine = artifact_engine_new();
    size_t refused = 0;
    for (size_t at = 0; at < small.len; at += at < 64 ? 1 : 7) {
        for (int cut = 0; cut < 2; cut++) {
            bytes_t changed = bytes_copy(small.data, cut ? at : small.len);
            if (!cut) changed.data[at] ^= (uint8_t)(1u << (at % 8));
            artifact_builder_t *builder = new_builder(engine);
            artifact_status_t status = add_one(builder, &changed, NULL, NULL);
            CHECK(status == ARTIFACT_OK || status == ARTIFACT_INVALID_ARGUMENT || status == ARTIFACT_UNSUPPORTED ||
                  status == ARTIFACT_TRUNCATED || status == ARTIFACT_CORRUPT || status == ARTIFACT_LIMIT);
            CHECK(!cut || status != ARTIFACT_OK);
            refused += status != ARTIFACT_OK;
            if (status == ARTIFACT_OK) {
                bytes_t bytes = serialize(builder);
                artifact_free(open_bytes(&bytes, NULL));
                bytes_free(&bytes);
            }
            artifact_builder_free(builder);
            bytes_free(&changed);
        }
    }
    CHECK(refused > 100);
    artifact_engine_free(engine);
    bytes_free(&small);
}

/* ---- files of other formats ---- */

TEST(files_of_other_formats_are_named) {
    static const struct {
        const char *bytes;
        size_t len;
        artifact_status_t status;
        const char *words;
    } files[] = {
        {"", 0, ARTIFACT_INVALID_ARGUMENT, "an empty file"},
        {"BC\xc0\xde\x35\x14\0\0", 8, ARTIFACT_INVALID_ARGUMENT, "LLVM bitcode; compile it"},
        {"\xde\xc0\x17\x0b\0\0\0\0", 8, ARTIFACT_INVALID_ARGUMENT, "wrapped LLVM bitcode; compile it"},
        {"!<thin>\nf.o/    ", 16, ARTIFACT_INVALID_ARGUMENT, "a thin archive"},
        {"\xcf\xfa\xed\xfe\x07\0\0\x01", 8, ARTIFACT_INVALID_ARGUMENT, "a Mach-O file"},
        {"\xca\xfe\xba\xbe\0\0\0\x02", 8, ARTIFACT_INVALID_ARGUMENT, "a universal Mach-O file"},
        {"\0asm\1\0\0\0", 8, ARTIFACT_INVALID_ARGUMENT, "WebAssembly"},
        {"int f(void);\n", 13, ARTIFACT_INVALID_ARGUMENT, "text; compile it"},
        {"\177ELF\1\1\1", 7, ARTIFACT_UNSUPPORTED, "a 32-bit ELF file"},
    };
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = new_builder(engine);
    for (size_t i = 0; i < COUNT(files); i++) {
        const uint8_t *data = (const uint8_t *)files[i].bytes;
        const artifact_object_t object = {"a.o", data, files[i].len};
        CHECK_FAILS(artifact_builder_add_objects(builder, &object, 1, NULL, NULL, &error), files[i].status,
                    files[i].words);
        CHECK_FAILS(artifact_builder_add_module(builder, data, files[i].len, NULL, &error), files[i].status,
                    files[i].words);
    }
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}

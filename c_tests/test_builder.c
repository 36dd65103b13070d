/* The builder: which modules it accepts, the exact bytes that it writes, writing to a callback. */
#include "check.h"
#include "image.h"
#include "support.h"

/* Expects that adding fails and leaves the builder unchanged. */
static void refuses(const bytes_t *elf, size_t len, artifact_status_t status, const char *words) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    bytes_t exact = bytes_copy(elf->data, len);
    size_t index = 77;
    CHECK_FAILS(artifact_builder_add_module(builder, exact.data, len, &index, &error), status, words);
    CHECK(index == 0);
    CHECK(artifact_builder_module_count(builder) == 0);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&exact);
}

TEST(builder_refuses_other_than_elf) {
    bytes_t text = bytes_copy("#!/bin/sh\necho this is a script, and one longer than an ELF header is: 64 bytes\n", 78);
    refuses(&text, text.len, ARTIFACT_INVALID_ARGUMENT, "ELF");
    refuses(&text, 3, ARTIFACT_INVALID_ARGUMENT, "ELF");
    refuses(&text, 0, ARTIFACT_INVALID_ARGUMENT, "");
    bytes_free(&text);
}

TEST(builder_refuses_elf32) {
    bytes_t elf = make_elf((shape_t){0});
    elf.data[EI_CLASS] = ELFCLASS32;
    refuses(&elf, elf.len, ARTIFACT_UNSUPPORTED, "32-bit ELF file");
    bytes_free(&elf);
}

TEST(builder_refuses_truncated_elf) {
    bytes_t elf = make_elf((shape_t){0});
    for (size_t len = SELFMAG; len < elf.len; len++) {
        if (len >= sizeof(Elf64_Ehdr)) {
            refuses(&elf, len, ARTIFACT_TRUNCATED, "");
            continue;
        }
        artifact_engine_t *engine = plain_engine();
        artifact_builder_t *builder = new_builder(engine);
        bytes_t exact = bytes_copy(elf.data, len);
        artifact_status_t status = artifact_builder_add_module(builder, exact.data, len, NULL, NULL);
        CHECK(status == ARTIFACT_TRUNCATED || status == ARTIFACT_INVALID_ARGUMENT);
        artifact_builder_free(builder);
        artifact_engine_free(engine);
        bytes_free(&exact);
    }
    bytes_free(&elf);
}

TEST(builder_refuses_damaged_elf) {
    static const struct {
        size_t field, size;
        uint64_t value;
        artifact_status_t status;
    } damage[] = {
        {offsetof(Elf64_Ehdr, e_shoff), 8, 0, ARTIFACT_CORRUPT},
        {offsetof(Elf64_Ehdr, e_shoff), 8, UINT64_MAX, ARTIFACT_TRUNCATED},
        {offsetof(Elf64_Ehdr, e_shoff), 8, UINT64_MAX - 7 * 64 + 1, ARTIFACT_TRUNCATED},
        {offsetof(Elf64_Ehdr, e_shnum), 2, 1000, ARTIFACT_TRUNCATED},
        {offsetof(Elf64_Ehdr, e_shentsize), 2, 40, ARTIFACT_CORRUPT},
        {offsetof(Elf64_Ehdr, e_shentsize), 2, 0, ARTIFACT_CORRUPT},
        {EI_DATA, 1, 3, ARTIFACT_CORRUPT},
        {EI_DATA, 1, 0, ARTIFACT_CORRUPT},
    };
    for (size_t i = 0; i < COUNT(damage); i++) {
        bytes_t elf = make_elf((shape_t){0});
        put_uint(elf.data + damage[i].field, damage[i].value, damage[i].size, false);
        artifact_engine_t *engine = plain_engine();
        artifact_builder_t *builder = new_builder(engine);
        artifact_error_t *error = NULL;
        artifact_status_t status = artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error);
        CHECK(status == ARTIFACT_CORRUPT || status == damage[i].status);
        check_error(__FILE__, __LINE__, error, status, "");
        CHECK(artifact_builder_module_count(builder) == 0);
        artifact_error_free(error);
        artifact_builder_free(builder);
        artifact_engine_free(engine);
        bytes_free(&elf);
    }
}

TEST(builder_accepts_alignments_up_to_2_mib) {
    bytes_t elf = make_elf((shape_t){0});
    uint8_t *align = elf.data + section_at(&elf, 0, TEXT) + offsetof(Elf64_Shdr, sh_addralign);
    put_uint(align, 4 << 20, 8, false);
    refuses(&elf, elf.len, ARTIFACT_LIMIT, "4194304|2097152");
    put_uint(align, UINT64_C(1) << 63, 8, false);
    refuses(&elf, elf.len, ARTIFACT_LIMIT, "");
    put_uint(align, 48, 8, false);
    refuses(&elf, elf.len, ARTIFACT_CORRUPT, "48");
    put_uint(align, 2 << 20, 8, false);
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&elf);
}

TEST(builder_adds_from_files) {
    bytes_t elf = make_elf((shape_t){0});
    char path[4096];
    snprintf(path, sizeof path, "%s", scratch("module.o"));
    write_file(path, elf.data, elf.len);
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    size_t index = 77;
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, &index, &error));
    CHECK(index == 0);
    CHECK_OK(artifact_builder_add_module_file(builder, path, &index, &error));
    CHECK(index == 1);
    CHECK(unlink(path) == 0); /* the file is mapped: its name is no longer needed */
    CHECK(artifact_builder_module_count(builder) == 2);
    bytes_t body = serialize(builder);
    artifact_t *artifact = open_bytes(&body, engine);
    artifact_module_t module;
    for (size_t i = 0; i < 2; i++) {
        CHECK_OK(artifact_module(artifact, i, &module, &error));
        CHECK(same_bytes(module.bytes.data, module.bytes.len, elf.data, elf.len));
    }
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&body);
    bytes_free(&elf);
}

TEST(builder_refuses_files_without_a_module) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    size_t index = 77;
    artifact_error_t *error = GARBAGE;
    CHECK_STATUS(artifact_builder_add_module_file(builder, scratch("missing.o"), &index, &error), ARTIFACT_IO);
    CHECK(index == 0 && artifact_error_errno(error) == ENOENT && strstr(artifact_error_message(error), "missing.o"));
    artifact_error_free(error);
    CHECK_FAILS(artifact_builder_add_module_file(builder, "/", &index, &error), ARTIFACT_INVALID_ARGUMENT, "directory");
    write_file(scratch("empty.o"), "", 0);
    CHECK_FAILS(artifact_builder_add_module_file(builder, scratch("empty.o"), NULL, &error), ARTIFACT_INVALID_ARGUMENT,
                "empty.o");
    write_file(scratch("text.o"), "not an ELF", 10);
    CHECK_FAILS(artifact_builder_add_module_file(builder, scratch("text.o"), NULL, &error), ARTIFACT_INVALID_ARGUMENT,
                "text.o");
    CHECK(mkfifo(scratch("fifo.o"), 0600) == 0);
    alarm(20); /* ends the test if opening waits for a writer */
    CHECK_FAILS(artifact_builder_add_module_file(builder, scratch("fifo.o"), NULL, &error), ARTIFACT_INVALID_ARGUMENT,
                "fifo.o|FIFO");
    CHECK(artifact_builder_module_count(builder) == 0);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}

TEST(builder_without_modules_cannot_be_saved) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    artifact_buffer_t *buffer = GARBAGE;
    CHECK_FAILS(artifact_serialize(builder, &buffer, &error), ARTIFACT_INVALID_ARGUMENT, "module");
    CHECK(buffer == NULL);
    CHECK_FAILS(artifact_serialize_to_file(builder, scratch("none.cwasm"), NULL, &error), ARTIFACT_INVALID_ARGUMENT,
                "");
    CHECK(access(scratch("none.cwasm"), F_OK) != 0);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}

/* Checks every byte against format.md: three modules of different alignment, flags sorted by name, every setting. */
TEST(builder_writes_exactly_the_format) {
    bytes_t one = make_elf((shape_t){0}), two = make_elf((shape_t){.align = 4096, .fill = 2});
    bytes_t three = make_elf((shape_t){.load_align = 4096, .fill = 3}), expected = {0};
    add_linked(&expected, &one, 16);
    add_linked(&expected, &two, 4096);
    add_linked(&expected, &three, 4096);
    add_header(&expected, "my.engine", "v7");
    add_str(&expected, HOST_TARGET);
    add_u64(&expected, 3);
    add_str(&expected, "a-num"), add_u32(&expected, 1), add_u8(&expected, 200);
    add_str(&expected, "b-bool"), add_u32(&expected, 2), add_u8(&expected, 1);
    add_str(&expected, "c-enum"), add_u32(&expected, 0), add_str(&expected, "value");
    add_u64(&expected, 1);
    add_str(&expected, "avx2"), add_u32(&expected, 2), add_u8(&expected, 0);
    add_tunables(&expected);
    add_features(&expected);
    add_no_types(&expected);

    artifact_engine_t *engine = artifact_engine_new_wasmtime();
    CHECK_OK(artifact_engine_set_target(engine, HOST_TARGET, &error));
    CHECK_OK(artifact_engine_set_producer(engine, "my.engine", &error));
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, "v7", &error));
    for (uint32_t map = 0; map < 2; map++) {
        for (artifact_flag_t flag; artifact_engine_flag_at(engine, map, 0, &flag, NULL) == ARTIFACT_OK;) {
            CHECK_OK(artifact_engine_unset_flag(engine, map, flag.name, &error));
        }
    }
    CHECK_OK(artifact_engine_set_flag_enum(engine, ARTIFACT_FLAGS_SHARED, "c-enum", "value", &error));
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_SHARED, "b-bool", true, &error));
    CHECK_OK(artifact_engine_set_flag_num(engine, ARTIFACT_FLAGS_SHARED, "a-num", 200, &error));
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "avx2", false, &error));
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_module(builder, one.data, one.len, NULL, &error));
    CHECK_OK(artifact_builder_add_module(builder, two.data, two.len, NULL, &error));
    CHECK_OK(artifact_builder_add_module(builder, three.data, three.len, NULL, &error));
    CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
    bytes_t written = serialize(builder), again = serialize(builder);
    CHECK(same_bytes(written.data, written.len, expected.data, expected.len));
    CHECK(same_bytes(again.data, again.len, expected.data, expected.len));
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&one), bytes_free(&two), bytes_free(&three), bytes_free(&expected);
    bytes_free(&written), bytes_free(&again);
}

/* ---- images that do not end with their section headers ---- */

static void comes_back_whole(shape_t shape) {
    bytes_t elf = make_elf(shape), last = make_elf((shape_t){0});
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    CHECK_OK(artifact_builder_add_module(builder, last.data, last.len, NULL, &error));
    bytes_t body = serialize(builder);
    artifact_t *artifact = open_bytes(&body, engine);
    CHECK(artifact_module_count(artifact) == 2 && artifact_main_module(artifact) == 1);
    artifact_module_t module;
    CHECK_OK(artifact_module(artifact, 0, &module, &error));
    /* All bytes but the 8 of e_shoff are kept; a copy of the headers follows them. */
    CHECK(module.bytes.len >= elf.len);
    CHECK(memcmp(module.bytes.data, elf.data, offsetof(Elf64_Ehdr, e_shoff)) == 0);
    CHECK(memcmp(module.bytes.data + 48, elf.data + 48, elf.len - 48) == 0);
    artifact_section_t section;
    CHECK_OK(artifact_section(artifact, 0, ".text", &section, &error));
    CHECK(section.bytes.len == TEXT_LEN && section.bytes.data[0] == 0xc3);
    CHECK_OK(artifact_section(artifact, 0, ".data", &section, &error));
    CHECK(same_bytes(section.bytes.data, section.bytes.len, (const uint8_t *)"datadata", DATA_LEN));
    CHECK_OK(artifact_module(artifact, 1, &module, &error));
    CHECK(same_bytes(module.bytes.data, module.bytes.len, last.data, last.len));
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&elf), bytes_free(&last), bytes_free(&body);
}

TEST(builder_keeps_bytes_after_the_section_headers) {
    for (size_t trailing = 1; trailing < 20; trailing++) comes_back_whole((shape_t){.trailing = trailing});
    comes_back_whole((shape_t){.trailing = 7, .big_endian = true, .machine = EM_S390});
}

TEST(builder_keeps_images_with_the_section_headers_first) {
    comes_back_whole((shape_t){.headers_first = true});
    comes_back_whole((shape_t){.headers_first = true, .trailing = 3, .extended = true});
    comes_back_whole((shape_t){.headers_first = true, .big_endian = true, .machine = EM_S390});
}

/* ---- writing to a callback ---- */

typedef struct sink_t {
    bytes_t got;
    size_t calls, fail_at;
    int code;
} sink_t;

static int sink(void *context, const uint8_t *data, size_t len) {
    sink_t *to = context;
    if (to->calls++ == to->fail_at) return to->code;
    bytes_add(&to->got, data, len);
    return 0;
}

TEST(builder_writes_to_a_callback) {
    bytes_t one = make_elf((shape_t){.align = 4096}), two = make_elf((shape_t){.trailing = 5});
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_module(builder, two.data, two.len, NULL, &error));
    CHECK_OK(artifact_builder_add_module(builder, one.data, one.len, NULL, &error));
    bytes_t expected = serialize(builder);
    sink_t whole = {.fail_at = SIZE_MAX};
    CHECK_OK(artifact_serialize_to(builder, sink, &whole, &error));
    CHECK(same_bytes(whole.got.data, whole.got.len, expected.data, expected.len));
    CHECK(whole.calls > 1);
    for (size_t at = 0; at < whole.calls; at++) {
        static const int codes[] = {EPIPE, ENOMEM, 1, -1};
        sink_t broken = {.fail_at = at, .code = codes[at % COUNT(codes)]};
        artifact_error_t *error = GARBAGE;
        CHECK_STATUS(artifact_serialize_to(builder, sink, &broken, &error), ARTIFACT_IO);
        CHECK(artifact_error_errno(error) == codes[at % COUNT(codes)]);
        CHECK(broken.calls == at + 1); /* not called again after it returned an error */
        CHECK(memcmp(broken.got.data ? broken.got.data : expected.data, expected.data, broken.got.len) == 0);
        artifact_error_free(error);
        bytes_free(&broken.got);
    }
    bytes_free(&whole.got);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&one), bytes_free(&two), bytes_free(&expected);
}

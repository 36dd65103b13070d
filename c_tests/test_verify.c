/* Verification: warnings, which Wasmtime accepts although no writer makes them, are reported; damage is an error. */
#include "check.h"
#include "image.h"
#include "support.h"

/* The offsets of the parts of a body with two modules of alignment 4096. */
typedef struct two_t {
    bytes_t bytes;
    size_t first_end, second;
} two_t;

static two_t make_two(void) {
    bytes_t elf = make_elf((shape_t){.align = 4096});
    two_t two = {{0}, elf.len, 0};
    add_linked(&two.bytes, &elf, 1);
    add_linked(&two.bytes, &elf, 4096);
    two.second = two.bytes.len - elf.len;
    add_header(&two.bytes, "artifact", "1");
    add_settings(&two.bytes, HOST_TARGET);
    add_no_types(&two.bytes);
    bytes_free(&elf);
    return two;
}

/* Expects that the artifact opens, and that its report has exactly these kinds. */
static void finds(bytes_t *bytes, uint64_t kinds, const char *words) {
    artifact_t *artifact = open_bytes(bytes, NULL);
    artifact_report_t *report = GARBAGE;
    CHECK_OK(artifact_verify(artifact, &report, &error));
    if (artifact_report_kinds(report) != kinds) {
        for (size_t i = 0; i < artifact_report_count(report); i++) {
            artifact_report_entry_t entry;
            CHECK_OK(artifact_report_at(report, i, &entry, &error));
            fprintf(stderr, "found %#x: %s\n", entry.kind, entry.sentence);
        }
    }
    CHECK(artifact_report_kinds(report) == kinds);
    CHECK((artifact_report_count(report) == 0) == (kinds == 0));
    CHECK_STATUS(artifact_report_status(report), ARTIFACT_OK);
    for (size_t i = 0; i < artifact_report_count(report); i++) {
        artifact_report_entry_t entry;
        CHECK_OK(artifact_report_at(report, i, &entry, &error));
        CHECK((entry.kind & kinds) == entry.kind && entry.setting && entry.artifact_value && entry.engine_value);
        CHECK(strlen(entry.sentence) > 8);
        if (i == 0) check_words(__FILE__, __LINE__, entry.sentence, words);
    }
    artifact_report_free(report);
    artifact_free(artifact);
    bytes_free(bytes);
}

TEST(verify_finds_nothing_in_files_of_the_library) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    static const shape_t shapes[] = {{.align = 4096}, {.trailing = 9}, {.headers_first = true}, {.load_align = 65536}};
    bytes_t elves[COUNT(shapes)];
    for (size_t i = 0; i < COUNT(shapes); i++) {
        elves[i] = make_elf(shapes[i]);
        CHECK_OK(artifact_builder_add_module(builder, elves[i].data, elves[i].len, NULL, &error));
    }
    bytes_t body = serialize(builder);
    for (size_t i = 0; i < COUNT(shapes); i++) bytes_free(&elves[i]);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    finds(&body, 0, "");
}

TEST(verify_finds_nothing_in_genuine_files) {
    for (size_t i = 0; i < COUNT(genuine); i++) {
        bytes_t file = read_file(fixture(genuine[i]));
        finds(&file, 0, "");
    }
}

TEST(verify_reports_a_link_that_skips_bytes) {
    /* Three modules; the first link skips the second. */
    bytes_t elf = make_elf((shape_t){0}), body = {0};
    add_linked(&body, &elf, 1);
    size_t link = body.len;
    add_linked(&body, &elf, 16);
    add_linked(&body, &elf, 16);
    put_uint(body.data + link, body.len - elf.len, 8, false);
    add_header(&body, "artifact", "1");
    add_settings(&body, HOST_TARGET);
    add_no_types(&body);
    bytes_free(&elf);
    finds(&body, ARTIFACT_REPORT_LINK | ARTIFACT_REPORT_PADDING, "module 1");
}

TEST(verify_reports_nonzero_padding) {
    two_t two = make_two();
    two.bytes.data[two.second - 1] = 1;
    finds(&two.bytes, ARTIFACT_REPORT_PADDING, "module 1|8191");
    two = make_two();
    two.bytes.data[two.first_end + 8] = 0xff;
    finds(&two.bytes, ARTIFACT_REPORT_PADDING, "");
}

TEST(verify_reports_another_machine) {
    bytes_t body = make_body("artifact", "1");
    put_uint(body.data + offsetof(Elf64_Ehdr, e_machine), EM_AARCH64, 2, false);
    finds(&body, ARTIFACT_REPORT_MACHINE, "183|62");
}

TEST(verify_reports_odd_sections) {
    two_t two = make_two();
    size_t text = section_at(&two.bytes, two.second, TEXT);
    put_uint(two.bytes.data + text + offsetof(Elf64_Shdr, sh_size), 200, 8, false);
    finds(&two.bytes, ARTIFACT_REPORT_SECTION, ".text|.data");
    two = make_two();
    text = section_at(&two.bytes, two.second, TEXT);
    put_uint(two.bytes.data + text + offsetof(Elf64_Shdr, sh_offset), 4097, 8, false);
    put_uint(two.bytes.data + text + offsetof(Elf64_Shdr, sh_size), 3, 8, false);
    finds(&two.bytes, ARTIFACT_REPORT_SECTION, ".text|4097");
}

/* The code is still there, but a reader that looks for .text does not find it. */
TEST(verify_reports_a_renamed_text_section) {
    bytes_t body = make_body("artifact", "1");
    size_t text = section_at(&body, 0, TEXT);
    put_uint(body.data + text + offsetof(Elf64_Shdr, sh_name), 7, 4, false);
    finds(&body, ARTIFACT_REPORT_SECTION, ".data");
}

TEST(verify_reports_unsorted_metadata) {
    static const char *const names[][2] = {{"b", "a"}, {"a", "a"}};
    for (size_t i = 0; i < 4; i++) {
        bytes_t body = make_front("artifact", "1");
        add_str(&body, HOST_TARGET);
        if (i >= 2) add_u64(&body, 0);
        add_u64(&body, 2);
        add_str(&body, names[i % 2][0]), add_u32(&body, 2), add_u8(&body, 1);
        add_str(&body, names[i % 2][1]), add_u32(&body, 2), add_u8(&body, 1);
        if (i < 2) add_u64(&body, 0);
        add_tunables(&body), add_features(&body), add_no_types(&body);
        finds(&body, ARTIFACT_REPORT_METADATA, i < 2 ? "shared_flags" : "isa_flags");
    }
}

TEST(verify_reports_trailing_bytes) {
    bytes_t body = make_body("artifact", "1");
    size_t end = body.len;
    char words[40];
    snprintf(words, sizeof words, "64|%zu", end);
    bytes_grow(&body, 64);
    finds(&body, ARTIFACT_REPORT_TRAILING_BYTES, words);
    body = make_body("artifact", "1");
    bytes_add(&body, "x", 1);
    finds(&body, ARTIFACT_REPORT_TRAILING_BYTES, "1");
}

TEST(verify_reports_everything_at_once) {
    two_t two = make_two();
    two.bytes.data[two.second - 1] = 1;
    put_uint(two.bytes.data + offsetof(Elf64_Ehdr, e_machine), EM_AARCH64, 2, false);
    bytes_add(&two.bytes, "x", 1);
    finds(&two.bytes, ARTIFACT_REPORT_MACHINE | ARTIFACT_REPORT_PADDING | ARTIFACT_REPORT_TRAILING_BYTES, "");
}

/* ---- damage ---- */

TEST(verify_of_damage_is_an_error) {
    static const struct {
        size_t section, field;
        uint64_t value;
    } damage[] = {
        {TEXT, offsetof(Elf64_Shdr, sh_offset), UINT64_C(1) << 40},
        {TEXT, offsetof(Elf64_Shdr, sh_size), UINT64_MAX},
        {STRTAB, offsetof(Elf64_Shdr, sh_offset), UINT64_MAX},
        {SYMTAB, offsetof(Elf64_Shdr, sh_size), 1 << 20},
        {SHSTRTAB, offsetof(Elf64_Shdr, sh_size), 3},
        {DATA, offsetof(Elf64_Shdr, sh_addralign), 3},
    };
    for (size_t i = 0; i < COUNT(damage); i++) {
        bytes_t body = make_body("artifact", "1");
        put_uint(body.data + section_at(&body, 0, damage[i].section) + damage[i].field, damage[i].value, 8, false);
        artifact_t *artifact = NULL;
        artifact_status_t status = artifact_open_bytes(body.data, body.len, NULL, NULL, &artifact, NULL);
        if (status == ARTIFACT_OK) {
            artifact_report_t *report = GARBAGE;
            CHECK_FAILS(artifact_verify(artifact, &report, &error), ARTIFACT_CORRUPT, "");
            CHECK(report == NULL);
        } else {
            CHECK_STATUS(status, ARTIFACT_CORRUPT);
        }
        artifact_free(artifact);
        bytes_free(&body);
    }
}

TEST(verify_of_a_foreign_layout_is_the_wrong_version) {
    bytes_t body = make_front("artifact", "99");
    bytes_add(&body, "\x01", 1);
    artifact_t *artifact = open_bytes(&body, NULL);
    artifact_report_t *report = GARBAGE;
    CHECK_FAILS(artifact_verify(artifact, &report, &error), ARTIFACT_WRONG_VERSION, "99");
    CHECK(report == NULL);
    artifact_free(artifact);
    bytes_free(&body);
}

/* Damaged files: every check of docs/format.md that opening makes. Each gives a clear error, with an offset where that
 * helps. */
#include "check.h"
#include "image.h"
#include "support.h"

/* Expects that the file does not open under any engine, with a status that means damage. */
static void is_damage(const bytes_t *bytes, const char *words, uint64_t offset) {
    artifact_engine_t *engine = plain_engine();
    for (int with = 0; with < 2; with++) {
        bytes_t exact = bytes_copy(bytes->data, bytes->len);
        artifact_t *artifact = GARBAGE;
        artifact_error_t *error = GARBAGE;
        artifact_status_t status =
            artifact_open_bytes(exact.data, exact.len, with ? engine : NULL, NULL, &artifact, &error);
        CHECK(artifact == NULL);
        CHECK(status == ARTIFACT_TRUNCATED || status == ARTIFACT_CORRUPT || status == ARTIFACT_LIMIT);
        check_error(__FILE__, __LINE__, error, status, words);
        if (offset != UINT64_MAX) CHECK(artifact_error_offset(error) == offset);
        artifact_error_free(error);
        bytes_free(&exact);
    }
    artifact_engine_free(engine);
}

TEST(damage_link_words) {
    bytes_t body = make_body("artifact", "1");
    size_t end = section_at(&body, 0, SECTIONS);
    const uint64_t links[] = {0,
                              1,
                              end - 1,
                              end,
                              end + 7, /* before the end of the link word itself */
                              body.len,
                              body.len - 1,
                              UINT64_C(1) << 40,
                              UINT64_C(1) << 63,
                              UINT64_MAX - 1,
                              UINT64_MAX - 63};
    for (size_t i = 0; i < COUNT(links); i++) {
        put_uint(body.data + end, links[i], 8, false);
        is_damage(&body, "", UINT64_MAX);
    }
    put_uint(body.data + end, 5, 8, false);
    is_damage(&body, "5", end);
    bytes_free(&body);
}

TEST(damage_links_to_something_other_than_elf) {
    bytes_t body = make_body("artifact", "1");
    size_t end = section_at(&body, 0, SECTIONS);
    put_uint(body.data + end, end + 8, 8, false);
    is_damage(&body, "ELF", end + 8);
    bytes_free(&body);
}

/* Returns an artifact of two equal modules, and the offset of the second. */
static bytes_t twice(const bytes_t *elf, size_t *second) {
    bytes_t body = {0};
    add_linked(&body, elf, 16);
    add_linked(&body, elf, 16);
    *second = body.len - elf->len;
    add_header(&body, "artifact", "1");
    add_settings(&body, HOST_TARGET);
    add_no_types(&body);
    return body;
}

/* In the second module: damage in the first one could also mean that the file is not an artifact. */
TEST(damage_elf_headers) {
    static const struct {
        size_t field, size;
        uint64_t value;
    } damage[] = {
        {offsetof(Elf64_Ehdr, e_shoff), 8, 0},
        {offsetof(Elf64_Ehdr, e_shoff), 8, 1},
        {offsetof(Elf64_Ehdr, e_shoff), 8, 1 << 20},
        {offsetof(Elf64_Ehdr, e_shoff), 8, UINT64_C(1) << 63},
        {offsetof(Elf64_Ehdr, e_shoff), 8, UINT64_MAX},
        {offsetof(Elf64_Ehdr, e_shoff), 8, UINT64_MAX - 447},
        {offsetof(Elf64_Ehdr, e_shnum), 2, 0},
        {offsetof(Elf64_Ehdr, e_shnum), 2, 1},
        {offsetof(Elf64_Ehdr, e_shnum), 2, 0xfeff},
        {offsetof(Elf64_Ehdr, e_shentsize), 2, 0},
        {offsetof(Elf64_Ehdr, e_shentsize), 2, 63},
        {offsetof(Elf64_Ehdr, e_shentsize), 2, 0xffff},
        {EI_MAG0, 1, 0},
        {EI_CLASS, 1, ELFCLASS32},
        {EI_CLASS, 1, 0},
        {EI_DATA, 1, 0},
        {EI_DATA, 1, 3},
        {EI_DATA, 1, ELFDATA2MSB},
    };
    bytes_t elf = make_elf((shape_t){0});
    for (size_t i = 0; i < COUNT(damage); i++) {
        size_t second;
        bytes_t body = twice(&elf, &second);
        put_uint(body.data + second + damage[i].field, damage[i].value, damage[i].size, false);
        is_damage(&body, "", UINT64_MAX);
        bytes_free(&body);
    }
    bytes_free(&elf);
}

/* If e_shnum is 0 the count is in section 0. No number there may be used unchecked. */
TEST(damage_extended_numbering) {
    static const uint64_t counts[] = {0, 1, 8, 1 << 20, UINT64_C(1) << 40, UINT64_C(1) << 58, UINT64_MAX};
    bytes_t elf = make_elf((shape_t){.extended = true});
    for (size_t i = 0; i < COUNT(counts); i++) {
        size_t second;
        bytes_t body = twice(&elf, &second);
        uint8_t *count = body.data + section_at(&body, second, NO_SECTION) + offsetof(Elf64_Shdr, sh_size);
        put_uint(count, counts[i], 8, false);
        is_damage(&body, "", UINT64_MAX);
        bytes_free(&body);
    }
    bytes_free(&elf);
}

TEST(damage_header) {
    bytes_t body = make_body("artifact", "1");
    size_t header = section_at(&body, 0, SECTIONS) + 8;
    static const struct {
        size_t at;
        uint8_t value;
    } damage[] = {{0, 'x'}, {1, 0}, {1, 'A'}, {4, 0xff}, {9, '+'}, {12, 'T'}};
    for (size_t i = 0; i < COUNT(damage); i++) {
        bytes_t copy = bytes_copy(body.data, body.len);
        copy.data[header + damage[i].at] = damage[i].value;
        is_damage(&copy, "", UINT64_MAX);
        bytes_free(&copy);
    }
    bytes_free(&body);
}

/* The original implementation copied Metadata bytes, including NULs, into its message. */
TEST(damage_version_length) {
    bytes_t body = make_body("artifact", "1"), longer = bytes_copy(body.data, body.len);
    size_t length = section_at(&body, 0, SECTIONS) + 8 + 13;
    body.data[length] = 255;
    artifact_engine_t *engine = plain_engine();
    artifact_t *artifact = GARBAGE;
    is_damage(&body, "", UINT64_MAX); /* the file has fewer than 255 bytes left */
    bytes_add(&longer, body.data, 255);
    longer.data[length] = 255;
    CHECK_FAILS(artifact_open_bytes(longer.data, longer.len, engine, NULL, &artifact, &error), ARTIFACT_WRONG_VERSION,
                "");
    CHECK(artifact == NULL);
    artifact_engine_free(engine);
    bytes_free(&body), bytes_free(&longer);
}

/* ---- counts in Metadata ---- */

/* Limits the address space, if possible: the error must be about the file, not about memory. */
enum { LITTLE = 32 << 20 };

static const uint64_t counts[] = {
    1000,           UINT32_MAX, UINT64_C(1) << 32, UINT64_C(1) << 40, UINT64_C(1) << 61, UINT64_C(1) << 63,
    UINT64_MAX - 8, UINT64_MAX};

/* Returns an artifact with one item in every list of Metadata. `place` receives the offset of each count. */
enum {
    TARGET_LEN,
    SHARED_COUNT,
    NAME_LEN,
    ENUM_LEN,
    ISA_COUNT,
    UPVARS,
    UPVAR_LIST,
    UPVAR_CHILDREN,
    FUNCS,
    PARAMS,
    RETURNS,
    MODULES,
    IMPORTS,
    IMPORT_NAME,
    INSTANCES,
    EXPORTS,
    PLACES
};

static bytes_t make_rich(size_t place[PLACES]) {
    bytes_t out = make_front("artifact", "1");
    place[TARGET_LEN] = out.len, add_str(&out, HOST_TARGET);
    place[SHARED_COUNT] = out.len, add_u64(&out, 1);
    place[NAME_LEN] = out.len, add_str(&out, "name"), add_u32(&out, 0);
    place[ENUM_LEN] = out.len, add_str(&out, "value");
    place[ISA_COUNT] = out.len, add_u64(&out, 0);
    add_tunables(&out), add_features(&out);
    place[UPVARS] = out.len, add_u64(&out, 1), add_u64(&out, 0);
    place[UPVAR_LIST] = out.len, add_u64(&out, 1), add_u64(&out, 0);
    place[UPVAR_CHILDREN] = out.len, add_u64(&out, 0);
    place[FUNCS] = out.len, add_u64(&out, 1);
    place[PARAMS] = out.len, add_u64(&out, 1), add_u32(&out, ARTIFACT_WASM_I32), add_u64(&out, 0);
    place[RETURNS] = out.len, add_u64(&out, 0), add_u64(&out, 0);
    place[MODULES] = out.len, add_u64(&out, 1);
    place[IMPORTS] = out.len, add_u64(&out, 1);
    place[IMPORT_NAME] = out.len, add_str(&out, "f"), add_u32(&out, ARTIFACT_ENTITY_FUNCTION), add_u32(&out, 0);
    add_u32(&out, 0); /* exports */
    place[INSTANCES] = out.len, add_u64(&out, 1);
    place[EXPORTS] = out.len, add_u64(&out, 1);
    add_str(&out, "g"), add_u32(&out, ARTIFACT_ENTITY_FUNCTION), add_u32(&out, 0);
    return out;
}

TEST(damage_counts) {
    size_t place[PLACES];
    bytes_t body = make_rich(place);
    artifact_free(open_bytes(&body, NULL)); /* it is valid */
    (void)limit_memory(LITTLE);
    for (size_t i = 0; i < PLACES; i++) {
        for (size_t j = 0; j < COUNT(counts); j++) {
            bytes_t copy = bytes_copy(body.data, body.len);
            put_uint(copy.data + place[i], counts[j], 8, false);
            is_damage(&copy, "", UINT64_MAX);
            bytes_free(&copy);
        }
    }
    bytes_free(&body);
}

/* Enough bytes follow for items of one byte each. Even then nothing may be allocated for items that are missing. */
TEST(damage_counts_with_bytes_to_spare) {
    size_t place[PLACES];
    (void)limit_memory(LITTLE);
    for (size_t i = 0; i < PLACES; i++) {
        bytes_t body = make_rich(place);
        bytes_grow(&body, 1 << 16);
        put_uint(body.data + place[i], 60000, 8, false);
        artifact_t *artifact = GARBAGE;
        artifact_status_t status = artifact_open_bytes(body.data, body.len, NULL, NULL, &artifact, NULL);
        CHECK(status == ARTIFACT_CORRUPT || status == ARTIFACT_TRUNCATED || status == ARTIFACT_LIMIT ||
              status == ARTIFACT_OK); /* zeros are valid items of some lists, and trailing bytes are accepted */
        CHECK((artifact != NULL) == (status == ARTIFACT_OK));
        artifact_free(artifact);
        bytes_free(&body);
    }
}

TEST(damage_indexes) {
    static const struct {
        size_t from, skip, size;
        uint64_t value;
        const char *words;
    } damage[] = {
        {UPVARS, 8, 8, 1, "1"},
        {UPVARS, 8, 8, UINT64_MAX, ""},
        {UPVAR_LIST, 8, 8, 1, "1"},
        {UPVAR_LIST, 8, 8, UINT64_MAX, ""},
        {IMPORT_NAME, 8 + 1 + 4, 4, 1, "1"},
        {IMPORT_NAME, 8 + 1 + 4 + 4, 4, 1, "1"},
        {IMPORT_NAME, 8 + 1 + 4, 4, UINT32_MAX, ""},
        {EXPORTS, 8 + 8 + 1 + 4, 4, 1, "1"},
        {EXPORTS, 8 + 8 + 1, 4, ARTIFACT_ENTITY_MODULE + 1, "7"},
        {PARAMS, 8, 4, 8, "8"},
        {NAME_LEN, 8 + 4, 4, 3, "3"},
    };
    size_t place[PLACES];
    for (size_t i = 0; i < COUNT(damage); i++) {
        bytes_t body = make_rich(place);
        put_uint(body.data + place[damage[i].from] + damage[i].skip, damage[i].value, damage[i].size, false);
        is_damage(&body, damage[i].words, UINT64_MAX);
        bytes_free(&body);
    }
}

TEST(damage_invalid_values) {
    size_t place[PLACES];
    bytes_t body = make_rich(place);
    for (size_t i = place[ISA_COUNT] + 8 + 4 * 8; i < place[UPVARS]; i++) { /* the booleans */
        bytes_t copy = bytes_copy(body.data, body.len);
        copy.data[i] = 2;
        is_damage(&copy, "2", UINT64_MAX);
        bytes_free(&copy);
    }
    body.data[place[TARGET_LEN] + 8] = 0xff;
    is_damage(&body, "UTF-8", UINT64_MAX);
    bytes_free(&body);
}

/* A recursive decoder overflows its stack here, as the original implementation did. */
TEST(damage_upvars_nested_deeply) {
    static const size_t depths[] = {100, 101, 10000, 100000};
    (void)limit_memory(LITTLE);
    for (size_t i = 0; i < COUNT(depths); i++) {
        bytes_t body = make_front("artifact", "1");
        add_settings(&body, HOST_TARGET);
        for (size_t j = 0; j < depths[i]; j++) {
            add_u64(&body, 1); /* one upvar, of module 0, without artifact upvars */
            add_u64(&body, 0);
            add_u64(&body, 0);
        }
        add_u64(&body, 0);
        bytes_grow(&body, 3 * 8);
        artifact_t *artifact = GARBAGE;
        artifact_status_t status = artifact_open_bytes(body.data, body.len, NULL, NULL, &artifact, NULL);
        if (depths[i] <= 100) {
            CHECK_STATUS(status, ARTIFACT_OK);
        } else {
            CHECK(status == ARTIFACT_LIMIT || status == ARTIFACT_CORRUPT);
            CHECK(artifact == NULL);
        }
        artifact_free(artifact);
        bytes_free(&body);
    }
}

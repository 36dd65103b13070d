/* Modules of an opened artifact: their bytes, sections and symbols, in both byte orders. */
#include "check.h"
#include "image.h"
#include "support.h"

static artifact_t *open_elf(const shape_t *shape, bytes_t *elf) {
    *elf = make_elf(*shape);
    bytes_t body = {0};
    add_linked(&body, elf, 1);
    add_header(&body, "artifact", "1");
    add_settings(&body, shape->big_endian ? "s390x-unknown-linux-gnu" : HOST_TARGET);
    add_no_types(&body);
    artifact_t *artifact = open_bytes(&body, NULL);
    bytes_free(&body);
    return artifact;
}

/* The same module in every shape. All of them must read the same. */
static const shape_t shapes[] = {
    {0},
    {.align = 4096},
    {.extended = true},
    {.load_align = 4096},
    {.big_endian = true, .machine = EM_S390},
    {.big_endian = true, .machine = EM_S390, .extended = true, .load_align = 4096},
};

TEST(modules_have_machine_type_and_byte_order) {
    for (size_t i = 0; i < COUNT(shapes); i++) {
        bytes_t elf;
        artifact_t *artifact = open_elf(&shapes[i], &elf);
        CHECK(artifact_module_count(artifact) == 1 && artifact_main_module(artifact) == 0);
        artifact_module_t module;
        CHECK_OK(artifact_module(artifact, 0, &module, &error));
        CHECK(same_bytes(module.bytes.data, module.bytes.len, elf.data, elf.len));
        CHECK(module.offset == 0);
        CHECK(module.machine == (shapes[i].machine ? shapes[i].machine : EM_X86_64));
        CHECK(module.type == (shapes[i].load_align ? ET_DYN : ET_REL));
        CHECK(module.byte_order == (shapes[i].big_endian ? ARTIFACT_BIG_ENDIAN : ARTIFACT_LITTLE_ENDIAN));
        artifact_free(artifact);
        bytes_free(&elf);
    }
}

/* The largest alignment of the sections and, up to 64 KiB, of the segments. */
TEST(modules_alignment) {
    static const struct {
        shape_t shape;
        uint64_t align;
    } cases[] = {
        {{0}, 16},
        {{.align = 4}, 8}, /* .data has 8 */
        {{.align = 4096}, 4096},
        {{.load_align = 1}, 16},
        {{.load_align = 4096}, 4096},
        {{.load_align = 16384, .big_endian = true}, 16384},
        {{.load_align = 65536}, 65536},
        {{.load_align = 2 << 20}, 65536},
        {{.load_align = 1 << 30}, 65536},
        {{.load_align = 4096, .align = 1 << 20}, 1 << 20},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        bytes_t elf;
        artifact_t *artifact = open_elf(&cases[i].shape, &elf);
        artifact_module_t module;
        CHECK_OK(artifact_module(artifact, 0, &module, &error));
        CHECK(module.align == cases[i].align);
        artifact_free(artifact);
        bytes_free(&elf);
    }
}

TEST(modules_sections_by_index_and_name) {
    static const struct {
        const char *name;
        uint64_t size, align, flags;
        uint32_t type;
    } expected[SECTIONS] = {
        {"", 0, 0, 0, SHT_NULL},
        {".text", TEXT_LEN, 16, SHF_ALLOC | SHF_EXECINSTR, SHT_PROGBITS},
        {".data", DATA_LEN, 8, SHF_ALLOC | SHF_WRITE, SHT_PROGBITS},
        {".bss", BSS_LEN, 8, SHF_ALLOC | SHF_WRITE, SHT_NOBITS},
        {".symtab", SYMBOLS * sizeof(Elf64_Sym), 8, 0, SHT_SYMTAB},
        {".strtab", sizeof elf_strings, 1, 0, SHT_STRTAB},
        {".shstrtab", sizeof elf_section_names, 1, 0, SHT_STRTAB},
    };
    for (size_t i = 0; i < COUNT(shapes); i++) {
        bytes_t elf;
        artifact_t *artifact = open_elf(&shapes[i], &elf);
        artifact_module_t module;
        CHECK_OK(artifact_module(artifact, 0, &module, &error));
        size_t count = 0;
        CHECK_OK(artifact_section_count(artifact, 0, &count, &error));
        CHECK(count == SECTIONS);
        for (size_t j = TEXT; j < SECTIONS; j++) {
            artifact_section_t at, by_name;
            CHECK_OK(artifact_section_at(artifact, 0, j, &at, &error));
            CHECK_OK(artifact_section(artifact, 0, expected[j].name, &by_name, &error));
            CHECK_STR(at.name, expected[j].name);
            CHECK(at.size == expected[j].size && at.flags == expected[j].flags && at.type == expected[j].type);
            CHECK(at.align == expected[j].align || (j == TEXT && at.align == shapes[i].align));
            CHECK(at.address == 0);
            CHECK(at.bytes.len == (j == BSS ? 0 : at.size));
            if (j != BSS) CHECK(at.bytes.data == module.bytes.data + at.offset);
            CHECK(by_name.bytes.data == at.bytes.data && by_name.offset == at.offset && by_name.type == at.type);
        }
        artifact_free(artifact);
        bytes_free(&elf);
    }
}

TEST(modules_symbols_by_index_and_name) {
    for (size_t i = 0; i < COUNT(shapes); i++) {
        bytes_t elf;
        artifact_t *artifact = open_elf(&shapes[i], &elf);
        size_t count = 0;
        CHECK_OK(artifact_symbol_count(artifact, 0, &count, &error));
        CHECK(count == SYMBOLS);
        artifact_symbol_t at, symbol;
        CHECK_OK(artifact_symbol(artifact, 0, "answer", &symbol, &error));
        CHECK_STR(symbol.name, "answer");
        CHECK(symbol.value == ANSWER_AT && symbol.size == ANSWER_LEN && symbol.section == TEXT);
        CHECK(symbol.type == STT_FUNC && symbol.binding == STB_GLOBAL);
        CHECK_OK(artifact_symbol_at(artifact, 0, 2, &at, &error));
        CHECK_STR(at.name, "answer");
        CHECK(at.value == symbol.value && at.size == symbol.size && at.section == symbol.section);
        CHECK_OK(artifact_symbol(artifact, 0, "helper", &symbol, &error));
        CHECK(symbol.binding == STB_LOCAL && symbol.value == 0 && symbol.size == ANSWER_AT);
        CHECK_OK(artifact_symbol(artifact, 0, "missing", &symbol, &error));
        CHECK(symbol.section == SHN_UNDEF && symbol.type == STT_NOTYPE);
        artifact_free(artifact);
        bytes_free(&elf);
    }
}

TEST(modules_not_found) {
    bytes_t elf;
    artifact_t *artifact = open_elf(&shapes[0], &elf);
    artifact_module_t module;
    artifact_section_t section;
    artifact_symbol_t symbol;
    size_t count = 77;
#define EMPTY(thing) ((thing).bytes.data == NULL && (thing).bytes.len == 0 && (thing).offset == 0)
    static const size_t beyond[] = {1, 2, SIZE_MAX};
    for (size_t i = 0; i < COUNT(beyond); i++) {
        memset(&module, 0x5a, sizeof module), memset(&section, 0x5a, sizeof section);
        memset(&symbol, 0x5a, sizeof symbol);
        CHECK_FAILS(artifact_module(artifact, beyond[i], &module, &error), ARTIFACT_NOT_FOUND, "module");
        CHECK(EMPTY(module) && module.align == 0 && module.machine == 0 && module.type == 0);
        count = 77;
        CHECK_FAILS(artifact_section_count(artifact, beyond[i], &count, &error), ARTIFACT_NOT_FOUND, "module");
        CHECK(count == 0);
        count = 77;
        CHECK_FAILS(artifact_symbol_count(artifact, beyond[i], &count, &error), ARTIFACT_NOT_FOUND, "module");
        CHECK(count == 0);
        CHECK_FAILS(artifact_section_at(artifact, beyond[i], 0, &section, &error), ARTIFACT_NOT_FOUND, "");
        CHECK(EMPTY(section) && section.name == NULL && section.size == 0);
        CHECK_FAILS(artifact_section(artifact, beyond[i], ".text", &section, &error), ARTIFACT_NOT_FOUND, "");
        CHECK_FAILS(artifact_symbol_at(artifact, beyond[i], 0, &symbol, &error), ARTIFACT_NOT_FOUND, "");
        CHECK(symbol.name == NULL && symbol.value == 0 && symbol.section == 0);
        CHECK_FAILS(artifact_symbol(artifact, beyond[i], "answer", &symbol, &error), ARTIFACT_NOT_FOUND, "");
    }
    memset(&section, 0x5a, sizeof section), memset(&symbol, 0x5a, sizeof symbol);
    CHECK_FAILS(artifact_section_at(artifact, 0, SECTIONS, &section, &error), ARTIFACT_NOT_FOUND, "7");
    CHECK(EMPTY(section) && section.name == NULL && section.size == 0);
    CHECK_FAILS(artifact_section(artifact, 0, ".none", &section, &error), ARTIFACT_NOT_FOUND, ".none");
    CHECK_FAILS(artifact_symbol_at(artifact, 0, SYMBOLS, &symbol, &error), ARTIFACT_NOT_FOUND, "4");
    CHECK(symbol.name == NULL && symbol.value == 0 && symbol.section == 0);
    CHECK_FAILS(artifact_symbol(artifact, 0, "none", &symbol, &error), ARTIFACT_NOT_FOUND, "none");
    CHECK_FAILS(artifact_section(artifact, 0, "\xff", &section, &error), ARTIFACT_INVALID_ARGUMENT, "UTF-8");
    CHECK_FAILS(artifact_symbol(artifact, 0, "\xff", &symbol, &error), ARTIFACT_INVALID_ARGUMENT, "UTF-8");
    artifact_free(artifact);
    bytes_free(&elf);
}

/* gABI: a symbol with SHN_XINDEX has its section in SHT_SYMTAB_SHNDX. */
TEST(modules_extended_section_numbers_of_symbols) {
    bytes_t body = make_body("artifact", "1");
    /* Turns .text into that table, with one number per symbol. */
    uint8_t *table = body.data + section_at(&body, 0, TEXT), *symbols = body.data + section_at(&body, 0, SYMTAB);
    uint8_t *answer = body.data + get_u64(symbols + offsetof(Elf64_Shdr, sh_offset)) + 2 * sizeof(Elf64_Sym);
    uint8_t *numbers = body.data + get_u64(table + offsetof(Elf64_Shdr, sh_offset));
    put_uint(table + offsetof(Elf64_Shdr, sh_type), SHT_SYMTAB_SHNDX, 4, false);
    put_uint(table + offsetof(Elf64_Shdr, sh_link), SYMTAB, 4, false);
    put_uint(table + offsetof(Elf64_Shdr, sh_size), SYMBOLS * 4, 8, false);
    put_uint(answer + offsetof(Elf64_Sym, st_shndx), SHN_XINDEX, 2, false);
    put_uint(numbers + 2 * 4, DATA, 4, false);
    artifact_t *artifact = open_bytes(&body, NULL);
    artifact_symbol_t symbol;
    CHECK_OK(artifact_symbol(artifact, 0, "answer", &symbol, &error));
    CHECK(symbol.section == DATA);
    artifact_free(artifact);
    bytes_free(&body);
}

/* Text for C is always UTF-8, whatever bytes the file has. */
TEST(modules_names_other_than_utf8) {
    bytes_t body = make_body("artifact", "1");
    char *names =
        (char *)body.data + get_u64(body.data + section_at(&body, 0, SHSTRTAB) + offsetof(Elf64_Shdr, sh_offset));
    char *strings =
        (char *)body.data + get_u64(body.data + section_at(&body, 0, STRTAB) + offsetof(Elf64_Shdr, sh_offset));
    names[3] = '\xff', strings[1] = '\xfe';
    artifact_t *artifact = open_bytes(&body, NULL);
    artifact_section_t section;
    artifact_symbol_t symbol;
    CHECK_OK(artifact_section_at(artifact, 0, TEXT, &section, &error));
    CHECK_STR(section.name, ".t\xef\xbf\xbdxt");
    CHECK_OK(artifact_symbol_at(artifact, 0, 1, &symbol, &error));
    CHECK_STR(symbol.name, "\xef\xbf\xbd"
                           "elper");
    artifact_free(artifact);
    bytes_free(&body);
}

TEST(modules_without_symbols_have_none) {
    bytes_t body = make_body("artifact", "1");
    put_uint(body.data + section_at(&body, 0, SYMTAB) + offsetof(Elf64_Shdr, sh_type), SHT_PROGBITS, 4, false);
    artifact_t *artifact = open_bytes(&body, NULL);
    size_t count = 77;
    artifact_symbol_t symbol;
    CHECK_OK(artifact_symbol_count(artifact, 0, &count, &error));
    CHECK(count == 0);
    CHECK_FAILS(artifact_symbol_at(artifact, 0, 0, &symbol, &error), ARTIFACT_NOT_FOUND, "");
    CHECK_FAILS(artifact_symbol(artifact, 0, "answer", &symbol, &error), ARTIFACT_NOT_FOUND, "answer");
    artifact_free(artifact);
    bytes_free(&body);
}

/* A section or symbol outside its module gives an error, never the memory there. */
TEST(modules_are_never_read_out_of_bounds) {
    static const struct {
        size_t section, field;
        uint64_t value;
    } damage[] = {
        {TEXT, offsetof(Elf64_Shdr, sh_offset), UINT64_C(1) << 40},
        {TEXT, offsetof(Elf64_Shdr, sh_offset), UINT64_MAX},
        {TEXT, offsetof(Elf64_Shdr, sh_size), UINT64_C(1) << 40},
        {TEXT, offsetof(Elf64_Shdr, sh_size), UINT64_MAX},
        {STRTAB, offsetof(Elf64_Shdr, sh_offset), UINT64_MAX},
        {STRTAB, offsetof(Elf64_Shdr, sh_size), UINT64_MAX},
        {SYMTAB, offsetof(Elf64_Shdr, sh_offset), UINT64_C(1) << 63},
        {SYMTAB, offsetof(Elf64_Shdr, sh_size), UINT64_MAX},
        {SHSTRTAB, offsetof(Elf64_Shdr, sh_offset), UINT64_MAX},
        {SHSTRTAB, offsetof(Elf64_Shdr, sh_size), 0},
    };
    for (size_t i = 0; i < COUNT(damage); i++) {
        bytes_t body = make_body("artifact", "1");
        put_uint(body.data + section_at(&body, 0, damage[i].section) + damage[i].field, damage[i].value, 8, false);
        artifact_t *artifact = NULL;
        artifact_status_t status = artifact_open_bytes(body.data, body.len, NULL, NULL, &artifact, NULL);
        CHECK(status == ARTIFACT_OK || status == ARTIFACT_CORRUPT);
        size_t failed = status != ARTIFACT_OK, sum = 0, count = 0;
        if (artifact_section_count(artifact, 0, &count, NULL) != ARTIFACT_OK) failed++;
        for (size_t j = 0; j < count; j++) {
            artifact_section_t section;
            if (artifact_section_at(artifact, 0, j, &section, NULL) != ARTIFACT_OK) failed++;
            for (size_t k = 0; k < section.bytes.len; k++) sum += section.bytes.data[k];
            if (section.name) sum += strlen(section.name);
        }
        if (artifact_symbol_count(artifact, 0, &count, NULL) != ARTIFACT_OK) failed++, count = 0;
        for (size_t j = 0; j < count; j++) {
            artifact_symbol_t symbol;
            if (artifact_symbol_at(artifact, 0, j, &symbol, NULL) != ARTIFACT_OK) failed++;
            if (symbol.name) sum += strlen(symbol.name);
        }
        CHECK(failed > 0 && sum != SIZE_MAX);
        artifact_free(artifact);
        bytes_free(&body);
    }
}

/* ---- genuine files ---- */

TEST(modules_of_a_genuine_file_with_several) {
    static const struct {
        uint64_t offset, len;
    } expected[] = {{0, 10152}, {12288, 10120}, {24576, 1664}, {28672, 10552}};
    artifact_t *artifact = open_path(fixture("ml_two.cwasm"), NULL);
    CHECK(artifact_module_count(artifact) == COUNT(expected) && artifact_main_module(artifact) == 3);
    for (size_t i = 0; i < COUNT(expected); i++) {
        artifact_module_t module;
        artifact_section_t text;
        CHECK_OK(artifact_module(artifact, i, &module, &error));
        CHECK(module.offset == expected[i].offset && module.bytes.len == expected[i].len && module.align == 4096);
        CHECK(module.machine == EM_X86_64 && module.type == ET_REL && module.byte_order == ARTIFACT_LITTLE_ENDIAN);
        /* These bytes are the mapping itself, so page alignment is kept. */
        CHECK((uintptr_t)module.bytes.data % 4096 == 0);
        CHECK_OK(artifact_section(artifact, i, ".text", &text, &error));
        CHECK(text.offset == (text.size ? 4096 : text.offset));
    }
    artifact_free(artifact);
}

TEST(modules_of_a_genuine_big_endian_file) {
    artifact_t *artifact = open_path(fixture("target_s390x.cwasm"), NULL);
    artifact_module_t module;
    artifact_section_t section;
    CHECK_OK(artifact_module(artifact, 0, &module, &error));
    CHECK(module.bytes.len == 10592 && module.machine == EM_S390 && module.byte_order == ARTIFACT_BIG_ENDIAN);
    CHECK(module.align == 4096);
    CHECK_OK(artifact_section(artifact, 0, ".wasmtime.info", &section, &error));
    CHECK(section.bytes.len == section.size && section.size > 0);
    artifact_free(artifact);
}

TEST(modules_symbols_of_a_genuine_file) {
    artifact_t *artifact = open_path(fixture("addfib.cwasm"), NULL);
    artifact_symbol_t symbol;
    size_t count = 0;
    CHECK_OK(artifact_symbol_count(artifact, 0, &count, &error));
    CHECK(count == 22);
    CHECK_OK(artifact_symbol(artifact, 0, "_wasm_function_1", &symbol, &error));
    CHECK(symbol.value == 17 && symbol.size == 129 && symbol.section == 1 && symbol.type == STT_FUNC);
    CHECK_OK(artifact_symbol(artifact, 0, "wasmtime_i64_udiv", &symbol, &error));
    CHECK(symbol.section == SHN_UNDEF);
    artifact_free(artifact);
}

TEST(modules_alignment_of_aarch64) {
    artifact_t *artifact = open_path(fixture("target_aarch64.cwasm"), NULL);
    artifact_module_t module;
    CHECK_OK(artifact_module(artifact, 0, &module, &error));
    CHECK(module.align == 65536 && module.machine == EM_AARCH64);
    artifact_free(artifact);
}

/*
 * Files with names that overlap, under a limit on the address space: what docs/format.md allows is enough to find that
 * the names are too many, and with less, memory runs out without ending the process.
 */
#include "check.h"
#include "image.h"

enum { NAMES = 8000, NAME_LEN = 8 };

/* Returns an object whose data refers to NAMES undefined symbols. */
static bytes_t make_object(void) {
    enum { OF_DATA = 1, OF_RELA, OF_SYMTAB, OF_STRTAB, OF_SHSTRTAB, OF_ALL };
    uint16_t machine = EM_X86_64;
    bytes_t elf = {0};
    bytes_grow(&elf, sizeof(Elf64_Ehdr));
    section_spec_t sections[OF_ALL] = {
        [OF_DATA] = {".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, elf.len, NAMES * 8, 8, 0, 0, 0},
    };
    bytes_grow(&elf, NAMES * 8);
    sections[OF_RELA] = (section_spec_t){NULL, SHT_RELA,           SHF_INFO_LINK, elf.len, NAMES * sizeof(Elf64_Rela),
                                         8,    sizeof(Elf64_Rela), OF_SYMTAB,     OF_DATA};
    for (uint64_t i = 0; i < NAMES; i++) {
        add_u64(&elf, i * 8), add_u64(&elf, ELF64_R_INFO(i + 1, R_X86_64_64)), add_u64(&elf, 0);
    }
    sections[OF_SYMTAB] = (section_spec_t){
        ".symtab", SHT_SYMTAB, 0, elf.len, (NAMES + 1) * sizeof(Elf64_Sym), 8, sizeof(Elf64_Sym), OF_STRTAB, 1};
    bytes_grow(&elf, sizeof(Elf64_Sym));
    for (uint32_t i = 0; i < NAMES; i++) {
        add_symbol(&elf, 1 + i * NAME_LEN, ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), SHN_UNDEF, 0, 0, false);
    }
    sections[OF_STRTAB] = (section_spec_t){".strtab", SHT_STRTAB, 0, elf.len, 1 + NAMES * NAME_LEN, 1, 0, 0, 0};
    bytes_grow(&elf, 1);
    for (unsigned i = 0; i < NAMES; i++) {
        char name[NAME_LEN + 8];
        snprintf(name, sizeof name, "u%06u", i);
        bytes_add(&elf, name, NAME_LEN);
    }
    sections[OF_SHSTRTAB] = (section_spec_t){".shstrtab", SHT_STRTAB, 0, elf.len, sizeof elf_section_names, 1, 0, 0, 0};
    bytes_add(&elf, elf_section_names, sizeof elf_section_names);
    align_to(&elf, 8);
    size_t headers = elf.len;
    for (size_t i = 0; i < OF_ALL; i++) put_section(bytes_grow(&elf, sizeof(Elf64_Shdr)), &sections[i], false);
    put_elf_header(&elf, &(shape_t){.machine = machine}, headers);
    put_uint(elf.data + offsetof(Elf64_Ehdr, e_shnum), OF_ALL, 2, false);
    put_uint(elf.data + offsetof(Elf64_Ehdr, e_shstrndx), OF_SHSTRTAB, 2, false);
    return elf;
}

/* Writes an artifact of the linked object, in which all names of symbols are suffixes of one string. Returns its size.
 */
static size_t write_crafted(const char *path, artifact_engine_t *engine) {
    bytes_t object = make_object();
    artifact_builder_t *builder = new_builder(engine);
    artifact_object_t one = {"names.o", object.data, object.len};
    CHECK_OK(artifact_builder_add_objects(builder, &one, 1, NULL, NULL, &error));
    CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
    bytes_t file = serialize(builder);
    artifact_builder_free(builder);
    artifact_t *artifact = open_bytes(&file, NULL);
    static const char *const tables[] = {".dynstr", ".strtab"};
    for (size_t i = 0; i < COUNT(tables); i++) {
        artifact_section_t strings;
        CHECK_OK(artifact_section(artifact, 0, tables[i], &strings, &error));
        uint8_t *names = file.data + strings.offset;
        for (size_t j = 1; j + 1 < strings.size; j++) names[j] = names[j] ? names[j] : '.';
    }
    artifact_free(artifact);
    write_file(path, file.data, file.len);
    size_t len = file.len;
    bytes_free(&file), bytes_free(&object);
    return len;
}

static artifact_status_t walk_symbols(artifact_t *artifact) {
    for (size_t i = 0;; i++) {
        artifact_symbol_t symbol;
        artifact_status_t status = artifact_symbol_at(artifact, 0, i, &symbol, NULL);
        if (status) return status;
    }
}

static artifact_status_t walk_attributes(artifact_t *artifact) {
    for (size_t i = 0;; i++) {
        const char *name = NULL;
        artifact_slice_t value;
        artifact_status_t status = artifact_attribute_at(artifact, i, &name, &value, NULL);
        if (status) return status;
    }
}

/* Memory may run out only if there is less of it than the document allows. */
static void is_bounded(artifact_status_t status, bool enough) {
    if (status != ARTIFACT_NO_MEMORY || enough) CHECK_STATUS(status, ARTIFACT_LIMIT);
}

TEST(memory_of_names_that_overlap) {
    artifact_engine_t *engine = plain_engine();
    char path[4200];
    snprintf(path, sizeof path, "%s", scratch("crafted"));
    size_t len = write_crafted(path, engine), enough = 12 * len > 12 << 20 ? 12 * len : 12 << 20;
    struct rlimit unlimited;
    CHECK(getrlimit(RLIMIT_AS, &unlimited) == 0);
    /* The mapping of the file in addition, and what malloc takes for its own. */
    const size_t limits[] = {enough + len + (4 << 20), 4 << 20, 2 << 20, 1 << 20};
    for (size_t i = 0; i < COUNT(limits); i++) {
        for (int read = 0; read < 2; read++) {
            artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
            options.flags = read ? ARTIFACT_OPEN_READ : 0;
            if (!limit_memory(limits[i])) SKIP("the address space cannot be limited");
            artifact_t *artifact = NULL;
            CHECK_OK(artifact_open_file(path, engine, &options, &artifact, &error));
            is_bounded(walk_symbols(artifact), i == 0);
            CHECK_STATUS(walk_attributes(artifact), ARTIFACT_NOT_FOUND);
            artifact_report_t *report = NULL;
            is_bounded(artifact_verify(artifact, &report, NULL), i == 0);
            artifact_free(artifact);

            CHECK_OK(artifact_open_file(path, engine, &options, &artifact, &error));
            artifact_code_t *code = NULL;
            is_bounded(artifact_load(artifact, engine, NULL, &code, NULL), i == 0);
            artifact_free(artifact);
            CHECK(setrlimit(RLIMIT_AS, &unlimited) == 0);
        }
    }
    artifact_engine_free(engine);
}

/* Modules that cannot be loaded: unsupported features, and damaged images. */
#include "check.h"
#include "image.h"
#include "native.h"

/* Loads an artifact of this image with the host's engine. */
static artifact_status_t load_image(const bytes_t *image, artifact_code_t **code, artifact_error_t **error) {
    need_machine();
    artifact_engine_t *engine = artifact_engine_new(), *host = artifact_engine_new_host();
    artifact_builder_t *builder = new_builder(engine);
    artifact_t *artifact = NULL;
    *code = NULL;
    artifact_status_t status = artifact_builder_add_module(builder, image->data, image->len, NULL, error);
    if (status == ARTIFACT_OK) {
        bytes_t bytes = serialize(builder);
        artifact = open_bytes(&bytes, host);
        bytes_free(&bytes);
        artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
        options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
        status = artifact_load(artifact, host, &options, code, error);
    }
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    artifact_engine_free(host);
    return status;
}

TEST(load_refuses_initial_exec_to_variables_of_the_module) {
    bytes_t image = read_file(native("tls_own_static"));
    artifact_code_t *code;
    CHECK_FAILS(load_image(&image, &code, &error), ARTIFACT_UNSUPPORTED,
                "module 0|thread-local|initial-exec|-ftls-model=global-dynamic");
    bytes_free(&image);
}

/* Small modules are read, large ones mapped, and several mapped together. */
TEST(load_refuses_a_file_that_was_cut_since_it_was_opened) {
    static const struct {
        const char *module;
        size_t count;
    } files[] = {{"small", 1}, {"small", 3}, {"large_bss.o", 1}};
    for (size_t i = 0; i < COUNT(files); i++) {
        pack("code.artifact", files[i].module, files[i].count);
        loaded_t loaded = open_packed("code.artifact");
        struct stat stat_;
        CHECK(stat(scratch("code.artifact"), &stat_) == 0);
        const off_t lengths[] = {stat_.st_size / 2, 100, 0};
        for (size_t j = 0; j < COUNT(lengths); j++) {
            CHECK(truncate(scratch("code.artifact"), lengths[j]) == 0);
            loaded.code = GARBAGE;
            CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, &error), ARTIFACT_TRUNCATED,
                        "expected|bytes|found|shorter");
            CHECK(loaded.code == NULL);
        }
        artifact_report_t *report = GARBAGE;
        CHECK_FAILS(artifact_verify(loaded.artifact, &report, &error), ARTIFACT_TRUNCATED,
                    "expected|bytes|found|shorter");
        CHECK(report == NULL);
        unload(&loaded);
    }
}

TEST(load_refuses_the_first_module_that_it_cannot_load) {
    need_machine();
    static const char *const modules[] = {"small", "tls_own_static", "ifunc", "small"};
    artifact_engine_t *engine = artifact_engine_new(), *host = artifact_engine_new_host();
    artifact_builder_t *builder = new_builder(engine);
    for (size_t i = 0; i < COUNT(modules); i++) {
        CHECK_OK(artifact_builder_add_module_file(builder, native(modules[i]), NULL, &error));
    }
    bytes_t bytes = serialize(builder);
    artifact_t *artifact = open_bytes(&bytes, host);
    artifact_code_t *code = GARBAGE;
    CHECK_FAILS(artifact_load(artifact, host, NULL, &code, &error), ARTIFACT_UNSUPPORTED, "module 1|initial-exec");
    CHECK(code == NULL);
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_engine_free(engine), artifact_engine_free(host);
    bytes_free(&bytes);
}

TEST(load_refuses_relocatable_objects) {
#if defined(__x86_64__)
    bytes_t image = make_elf((shape_t){.machine = EM_X86_64});
#else
    bytes_t image = make_elf((shape_t){.machine = EM_AARCH64});
#endif
    artifact_code_t *code;
    CHECK_FAILS(load_image(&image, &code, &error), ARTIFACT_UNSUPPORTED, "module 0|relocatable|link");
    bytes_free(&image);
}

TEST(load_refuses_other_machines) {
    bytes_t image = make_elf((shape_t){.machine = EM_RISCV, .load_align = 4096});
    artifact_code_t *code;
    CHECK_FAILS(load_image(&image, &code, &error), ARTIFACT_INCOMPATIBLE, "module 0|machine|243");
    bytes_free(&image);
    image = make_elf((shape_t){.big_endian = true, .load_align = 4096});
    CHECK_FAILS(load_image(&image, &code, &error), ARTIFACT_INCOMPATIBLE, "big-endian");
    bytes_free(&image);
}

/* ---- damage ---- */

static Elf64_Phdr *segment_of(bytes_t *image, uint32_t type, uint32_t flags) {
    Elf64_Ehdr *header = (void *)image->data;
    Elf64_Phdr *segments = (void *)(image->data + header->e_phoff);
    for (size_t i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type == type && (segments[i].p_flags & flags) == flags) return &segments[i];
    }
    check_fail(__FILE__, __LINE__, "a segment", "there is none", "");
    return NULL;
}

static Elf64_Dyn *dynamic_of(bytes_t *image, int64_t tag) {
    Elf64_Dyn *entry = (void *)(image->data + segment_of(image, PT_DYNAMIC, 0)->p_offset);
    for (; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == tag) return entry;
    }
    check_fail(__FILE__, __LINE__, "a dynamic entry", "there is none", "");
    return NULL;
}

/* Loads the image with a change. A failure reports the line of that change. */
#define DAMAGED(change, expected, words)                                                                               \
    do {                                                                                                               \
        bytes_t image = bytes_copy(original.data, original.len);                                                       \
        artifact_code_t *code;                                                                                         \
        change;                                                                                                        \
        CHECK_FAILS(load_image(&image, &code, &error), expected, words);                                               \
        CHECK(code == NULL);                                                                                           \
        bytes_free(&image);                                                                                            \
    } while (0)

TEST(load_refuses_damaged_headers) {
    need_machine();
    bytes_t original = read_file(native("basic"));
#define EHDR ((Elf64_Ehdr *)(void *)image.data)
#define TEXT_SEGMENT segment_of(&image, PT_LOAD, PF_X)
#define DATA_SEGMENT segment_of(&image, PT_LOAD, PF_W)
    DAMAGED(EHDR->e_phoff = image.len, ARTIFACT_CORRUPT, "");
    DAMAGED(EHDR->e_type = 77, ARTIFACT_UNSUPPORTED, "e_type");
    DAMAGED(TEXT_SEGMENT->p_filesz += image.len, ARTIFACT_CORRUPT, "");
    DAMAGED(TEXT_SEGMENT->p_offset = UINT64_MAX - 4095, ARTIFACT_CORRUPT, "");
    DAMAGED(TEXT_SEGMENT->p_vaddr = UINT64_MAX - 4095, ARTIFACT_CORRUPT, "");
    DAMAGED(DATA_SEGMENT->p_vaddr = DATA_SEGMENT->p_offset % 4096, ARTIFACT_CORRUPT, "order");
    DAMAGED(TEXT_SEGMENT->p_vaddr += 16, ARTIFACT_UNSUPPORTED, "pages");
    DAMAGED(TEXT_SEGMENT->p_flags |= PF_W, ARTIFACT_UNSUPPORTED, "writable and executable");
    DAMAGED(TEXT_SEGMENT->p_memsz += 1, ARTIFACT_UNSUPPORTED, "read-only");
    DAMAGED(DATA_SEGMENT->p_filesz = DATA_SEGMENT->p_memsz + 1, ARTIFACT_CORRUPT, "");
    DAMAGED(DATA_SEGMENT->p_memsz = UINT64_C(1) << 40, ARTIFACT_UNSUPPORTED, "");
    DAMAGED(DATA_SEGMENT->p_memsz = UINT64_MAX, ARTIFACT_CORRUPT, "");
    DAMAGED(segment_of(&image, PT_DYNAMIC, 0)->p_vaddr += 1 << 30, ARTIFACT_CORRUPT, "PT_DYNAMIC");
    DAMAGED(segment_of(&image, PT_GNU_RELRO, 0)->p_memsz = 1 << 30, ARTIFACT_CORRUPT, "PT_GNU_RELRO");
#define RELRO segment_of(&image, PT_GNU_RELRO, 0)
    DAMAGED(RELRO->p_vaddr = RELRO->p_memsz = 1 << 30, ARTIFACT_CORRUPT, "PT_GNU_RELRO");
    DAMAGED(segment_of(&image, PT_GNU_EH_FRAME, 0)->p_vaddr = UINT64_MAX - 2, ARTIFACT_CORRUPT, "eh_frame");
    DAMAGED(segment_of(&image, PT_GNU_STACK, 0)->p_flags |= PF_X, ARTIFACT_UNSUPPORTED, "executable stack");
    bytes_free(&original);
}

TEST(load_refuses_damaged_tables) {
    need_machine();
    bytes_t original = read_file(native("basic"));
    static const int64_t addresses[] = {DT_SYMTAB, DT_STRTAB, DT_RELA, DT_GNU_HASH, DT_INIT_ARRAY, DT_FINI};
    for (size_t i = 0; i < COUNT(addresses); i++) {
        DAMAGED(dynamic_of(&image, addresses[i])->d_un.d_ptr = UINT64_C(1) << 40, ARTIFACT_CORRUPT, "DT_");
        DAMAGED(dynamic_of(&image, addresses[i])->d_un.d_ptr = UINT64_MAX - 3, ARTIFACT_CORRUPT, "DT_");
    }
    static const int64_t sizes[] = {DT_STRSZ, DT_RELASZ, DT_INIT_ARRAYSZ};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        DAMAGED(dynamic_of(&image, sizes[i])->d_un.d_val = UINT64_C(24) << 40, ARTIFACT_CORRUPT, "DT_");
        DAMAGED(dynamic_of(&image, sizes[i])->d_un.d_val = UINT64_MAX / 24 * 24, ARTIFACT_CORRUPT, "DT_");
    }
    DAMAGED(dynamic_of(&image, DT_RELAENT)->d_un.d_val = 8, ARTIFACT_CORRUPT, "DT_RELAENT");
    DAMAGED(dynamic_of(&image, DT_SYMENT)->d_un.d_val = 1, ARTIFACT_CORRUPT, "DT_SYMENT");
    DAMAGED(dynamic_of(&image, DT_RELACOUNT)->d_tag = DT_TEXTREL, ARTIFACT_UNSUPPORTED, "text|TEXTREL");
    DAMAGED(*dynamic_of(&image, DT_RELACOUNT) = ((Elf64_Dyn){.d_tag = DT_FLAGS, .d_un = {.d_val = DF_TEXTREL}}),
            ARTIFACT_UNSUPPORTED, "text|DF_TEXTREL");
    DAMAGED(dynamic_of(&image, DT_RELACOUNT)->d_tag = DT_REL, ARTIFACT_UNSUPPORTED, "DT_REL");
    bytes_free(&original);
}

static Elf64_Rela *relocation_of(bytes_t *image, size_t at) {
    return (Elf64_Rela *)(void *)(image->data + dynamic_of(image, DT_RELA)->d_un.d_ptr) + at;
}

TEST(load_refuses_damaged_relocations) {
    need_machine();
    bytes_t original = read_file(native("basic"));
    /* In read-only and executable segments, in the gap between them, just past the end, and overflowing. */
    static const uint64_t outside[] = {0, 8, 0x1000, UINT64_C(1) << 40, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < COUNT(outside); i++) {
        DAMAGED(relocation_of(&image, 0)->r_offset = outside[i], ARTIFACT_CORRUPT, "module 0|relocation");
    }
    DAMAGED(relocation_of(&image, 0)->r_offset = DATA_SEGMENT->p_vaddr + DATA_SEGMENT->p_memsz - 7, ARTIFACT_CORRUPT,
            "relocation");
    DAMAGED(relocation_of(&image, 0)->r_info = ELF64_R_INFO(0, 999), ARTIFACT_CORRUPT, "type|999");
    size_t count = (size_t)dynamic_of(&original, DT_RELASZ)->d_un.d_val / sizeof(Elf64_Rela);
    uint32_t named = (uint32_t)ELF64_R_TYPE(relocation_of(&original, count - 1)->r_info);
    DAMAGED(relocation_of(&image, 0)->r_info = ELF64_R_INFO((uint64_t)0xffffffff, named), ARTIFACT_CORRUPT, "symbol");
    DAMAGED(relocation_of(&image, 0)->r_info = ELF64_R_INFO((uint64_t)99999, named), ARTIFACT_CORRUPT, "symbol");
#if defined(__x86_64__)
    DAMAGED(relocation_of(&image, 0)->r_info = ELF64_R_INFO(0, R_X86_64_IRELATIVE), ARTIFACT_UNSUPPORTED, "IRELATIVE");
    Elf64_Rela resolved = {.r_info = ELF64_R_INFO(0, R_X86_64_IRELATIVE)};
    resolved.r_offset = relocation_of(&original, 0)->r_offset;
    const uint64_t resolvers[] = {0, resolved.r_offset, UINT64_C(1) << 40, UINT64_MAX};
    for (size_t i = 0; i < COUNT(resolvers); i++) {
        resolved.r_addend = (int64_t)resolvers[i];
        DAMAGED(*relocation_of(&image, 0) = resolved, ARTIFACT_CORRUPT, "resolver");
    }
    DAMAGED(relocation_of(&image, 0)->r_info = ELF64_R_INFO(1, R_X86_64_COPY), ARTIFACT_UNSUPPORTED, "COPY");
    DAMAGED(relocation_of(&image, 0)->r_info = ELF64_R_INFO(0, R_X86_64_DTPMOD64), ARTIFACT_CORRUPT, "PT_TLS");
#endif
    bytes_free(&original);
}

TEST(load_refuses_damaged_hash_and_unwind_tables) {
    need_machine();
    bytes_t original = read_file(native("basic"));
#define HASH ((uint32_t *)(void *)(image.data + dynamic_of(&image, DT_GNU_HASH)->d_un.d_ptr))
    DAMAGED(HASH[0] = 0, ARTIFACT_CORRUPT, "DT_GNU_HASH");
    DAMAGED(HASH[0] = UINT32_MAX, ARTIFACT_CORRUPT, "DT_GNU_HASH");
    DAMAGED(HASH[2] = UINT32_MAX, ARTIFACT_CORRUPT, "DT_GNU_HASH");
    DAMAGED(HASH[2] = UINT32_C(1) << 31, ARTIFACT_CORRUPT, "DT_GNU_HASH");
    bytes_t image = bytes_copy(original.data, original.len);
    const Elf64_Phdr *frames = segment_of(&image, PT_GNU_EH_FRAME, 0);
    int32_t distance;
    memcpy(&distance, image.data + frames->p_offset + 4, sizeof distance);
    size_t table = (size_t)((int64_t)frames->p_offset + 4 + distance);
    bytes_free(&image);
    static const uint8_t bad[] = {0xff, 0x7f, 1};
    for (size_t i = 0; i < COUNT(bad); i++) {
        DAMAGED(memset(image.data + table, bad[i], 4), ARTIFACT_CORRUPT, "eh_frame");
        /* Version and augmentation of the first CIE: not what any unwinder reads, which a newer one might. */
        DAMAGED(memset(image.data + table + 8, bad[i] | 0x40, 4), ARTIFACT_UNSUPPORTED, "eh_frame");
    }
    bytes_free(&original);
}

TEST(load_refuses_damaged_thread_local_storage) {
    need_machine();
    bytes_t original = read_file(native("tls"));
#define TLS_SEGMENT segment_of(&image, PT_TLS, 0)
    DAMAGED(TLS_SEGMENT->p_filesz = TLS_SEGMENT->p_memsz + 1, ARTIFACT_CORRUPT, "PT_TLS|initial");
    DAMAGED(TLS_SEGMENT->p_align = 3, ARTIFACT_CORRUPT, "PT_TLS|power of two");
    DAMAGED(TLS_SEGMENT->p_align = UINT64_C(1) << 40, ARTIFACT_LIMIT, "PT_TLS|alignment");
    DAMAGED(TLS_SEGMENT->p_memsz = UINT64_C(1) << 40, ARTIFACT_LIMIT, "PT_TLS|size");
    DAMAGED(TLS_SEGMENT->p_memsz = UINT64_MAX, ARTIFACT_LIMIT, "PT_TLS|size");
    DAMAGED(TLS_SEGMENT->p_vaddr = UINT64_C(1) << 40, ARTIFACT_CORRUPT, "PT_TLS|segment");
    DAMAGED(TLS_SEGMENT->p_vaddr = UINT64_MAX - 8, ARTIFACT_CORRUPT, "PT_TLS|segment");
    DAMAGED(TLS_SEGMENT->p_memsz = TLS_SEGMENT->p_filesz = 8, ARTIFACT_CORRUPT, "symbol|PT_TLS");
    DAMAGED(TLS_SEGMENT->p_type = PT_NULL, ARTIFACT_CORRUPT, "PT_TLS|none");
    bytes_free(&original);
}

/* Changes every byte that a loader reads. The module must load or be refused, without a crash. */
TEST(load_survives_any_changed_byte_of_headers_and_tables) {
    need_machine();
    bytes_t original = read_file(native("small"));
    size_t headers = sizeof(Elf64_Ehdr) + ((Elf64_Ehdr *)(void *)original.data)->e_phnum * sizeof(Elf64_Phdr);
    const Elf64_Phdr *dynamic = segment_of(&original, PT_DYNAMIC, 0);
    size_t refused = 0;
    for (int flip = 0; flip < 3; flip++) {
        for (size_t at = 4; at < (size_t)(dynamic->p_offset + dynamic->p_filesz); at++) {
            if (at == headers + 1024) at = (size_t)dynamic->p_offset;
            bytes_t image = bytes_copy(original.data, original.len);
            image.data[at] ^= (uint8_t)(flip == 0 ? 1 : flip == 1 ? 0x80 : 0xff);
            artifact_code_t *code;
            artifact_error_t *error = NULL;
            refused += load_image(&image, &code, &error) != ARTIFACT_OK;
            CHECK(artifact_error_status(error) != ARTIFACT_INTERNAL);
            artifact_code_symbol(code, 0, "answer", NULL);
            artifact_code_symbol(code, 0, "nothing", NULL);
            artifact_code_free(code);
            artifact_error_free(error);
            bytes_free(&image);
        }
    }
    CHECK(refused > 200);
    bytes_free(&original);
}

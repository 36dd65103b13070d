/*
 * Builds files byte by byte, without the library: ELF images of many shapes, and artifact bodies around them. Include
 * it after support.h.
 */
#ifndef IMAGE_H
#define IMAGE_H
#include "support.h"

#include <elf.h>

/* ---- ELF images ---- */

/* The shape of an image. All zero is a little-endian x86-64 object. */
typedef struct shape_t {
    bool big_endian;
    bool headers_first;  /* section headers before the sections */
    bool extended;       /* e_shnum and e_shstrndx are in section 0, as in files of more than 65279 sections */
    uint16_t machine;    /* 0: EM_X86_64 */
    uint64_t align;      /* of .text; 0: 16 */
    uint64_t load_align; /* p_align of a PT_LOAD segment; 0: none */
    size_t trailing;     /* number of 0xee bytes at the end */
    uint8_t fill;        /* the bytes of .text; 0: 0xc3 */
} shape_t;

enum { NO_SECTION, TEXT, DATA, BSS, SYMTAB, STRTAB, SHSTRTAB, SECTIONS };
enum { TEXT_LEN = 40, DATA_LEN = 8, BSS_LEN = 4096, ANSWER_AT = 16, ANSWER_LEN = 6, SYMBOLS = 4 };

static const char elf_strings[] = "\0helper\0answer\0missing";
static const char elf_section_names[] = "\0.text\0.data\0.bss\0.symtab\0.strtab\0.shstrtab";

static inline void align_to(bytes_t *out, uint64_t align) {
    bytes_grow(out, (size_t)((align - out->len % align) % align));
}

typedef struct section_spec_t {
    const char *name;
    uint32_t type;
    uint64_t flags, offset, size, align, entry_size;
    uint32_t link, info;
} section_spec_t;

static inline void put_section(uint8_t *place, const section_spec_t *section, bool big) {
    uint32_t name = 0;
    for (size_t i = 1; section->name && i < sizeof elf_section_names; i++) {
        if (strcmp(elf_section_names + i, section->name) == 0 && elf_section_names[i - 1] == 0) name = (uint32_t)i;
    }
    put_uint(place + offsetof(Elf64_Shdr, sh_name), name, 4, big);
    put_uint(place + offsetof(Elf64_Shdr, sh_type), section->type, 4, big);
    put_uint(place + offsetof(Elf64_Shdr, sh_flags), section->flags, 8, big);
    put_uint(place + offsetof(Elf64_Shdr, sh_offset), section->offset, 8, big);
    put_uint(place + offsetof(Elf64_Shdr, sh_size), section->size, 8, big);
    put_uint(place + offsetof(Elf64_Shdr, sh_link), section->link, 4, big);
    put_uint(place + offsetof(Elf64_Shdr, sh_info), section->info, 4, big);
    put_uint(place + offsetof(Elf64_Shdr, sh_addralign), section->align, 8, big);
    put_uint(place + offsetof(Elf64_Shdr, sh_entsize), section->entry_size, 8, big);
}

static inline void add_symbol(bytes_t *out, uint32_t name, uint8_t info, uint16_t section, uint64_t value,
                              uint64_t size, bool big) {
    uint8_t *place = bytes_grow(out, sizeof(Elf64_Sym));
    put_uint(place + offsetof(Elf64_Sym, st_name), name, 4, big);
    place[offsetof(Elf64_Sym, st_info)] = info;
    put_uint(place + offsetof(Elf64_Sym, st_shndx), section, 2, big);
    put_uint(place + offsetof(Elf64_Sym, st_value), value, 8, big);
    put_uint(place + offsetof(Elf64_Sym, st_size), size, 8, big);
}

static inline void put_elf_header(bytes_t *elf, const shape_t *shape, size_t headers) {
    uint8_t *place = elf->data;
    bool big = shape->big_endian;
    memcpy(place, ELFMAG, SELFMAG);
    place[EI_CLASS] = ELFCLASS64;
    place[EI_DATA] = big ? ELFDATA2MSB : ELFDATA2LSB;
    place[EI_VERSION] = EV_CURRENT;
    put_uint(place + offsetof(Elf64_Ehdr, e_type), shape->load_align ? ET_DYN : ET_REL, 2, big);
    put_uint(place + offsetof(Elf64_Ehdr, e_machine), shape->machine ? shape->machine : EM_X86_64, 2, big);
    put_uint(place + offsetof(Elf64_Ehdr, e_version), EV_CURRENT, 4, big);
    put_uint(place + offsetof(Elf64_Ehdr, e_shoff), headers, 8, big);
    put_uint(place + offsetof(Elf64_Ehdr, e_ehsize), sizeof(Elf64_Ehdr), 2, big);
    put_uint(place + offsetof(Elf64_Ehdr, e_shentsize), sizeof(Elf64_Shdr), 2, big);
    put_uint(place + offsetof(Elf64_Ehdr, e_shnum), shape->extended ? 0 : SECTIONS, 2, big);
    put_uint(place + offsetof(Elf64_Ehdr, e_shstrndx), shape->extended ? SHN_XINDEX : SHSTRTAB, 2, big);
    if (shape->load_align) {
        uint8_t *segment = place + sizeof(Elf64_Ehdr);
        put_uint(place + offsetof(Elf64_Ehdr, e_phoff), sizeof(Elf64_Ehdr), 8, big);
        put_uint(place + offsetof(Elf64_Ehdr, e_phentsize), sizeof(Elf64_Phdr), 2, big);
        put_uint(place + offsetof(Elf64_Ehdr, e_phnum), 1, 2, big);
        put_uint(segment + offsetof(Elf64_Phdr, p_type), PT_LOAD, 4, big);
        put_uint(segment + offsetof(Elf64_Phdr, p_flags), PF_R | PF_X, 4, big);
        put_uint(segment + offsetof(Elf64_Phdr, p_filesz), elf->len, 8, big);
        put_uint(segment + offsetof(Elf64_Phdr, p_memsz), elf->len, 8, big);
        put_uint(segment + offsetof(Elf64_Phdr, p_align), shape->load_align, 8, big);
    }
}

static inline bytes_t make_elf(shape_t shape) {
    bool big = shape.big_endian;
    bytes_t elf = {0};
    section_spec_t sections[SECTIONS] = {
        [TEXT] = {".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0, TEXT_LEN, shape.align ? shape.align : 16, 0, 0,
                  0},
        [DATA] = {".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 0, DATA_LEN, 8, 0, 0, 0},
        [BSS] = {".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, 0, BSS_LEN, 8, 0, 0, 0},
        [SYMTAB] = {".symtab", SHT_SYMTAB, 0, 0, SYMBOLS * sizeof(Elf64_Sym), 8, sizeof(Elf64_Sym), STRTAB, 2},
        [STRTAB] = {".strtab", SHT_STRTAB, 0, 0, sizeof elf_strings, 1, 0, 0, 0},
        [SHSTRTAB] = {".shstrtab", SHT_STRTAB, 0, 0, sizeof elf_section_names, 1, 0, 0, 0},
    };
    bytes_grow(&elf, sizeof(Elf64_Ehdr) + (shape.load_align ? sizeof(Elf64_Phdr) : 0));
    size_t headers = elf.len;
    if (shape.headers_first) bytes_grow(&elf, SECTIONS * sizeof(Elf64_Shdr));
    for (size_t i = TEXT; i < SECTIONS; i++) {
        align_to(&elf, sections[i].align);
        sections[i].offset = elf.len;
        if (i == TEXT) memset(bytes_grow(&elf, TEXT_LEN), shape.fill ? shape.fill : 0xc3, TEXT_LEN);
        if (i == DATA) bytes_add(&elf, "datadata", DATA_LEN);
        if (i == SYMTAB) {
            bytes_grow(&elf, sizeof(Elf64_Sym));
            add_symbol(&elf, 1, ELF64_ST_INFO(STB_LOCAL, STT_FUNC), TEXT, 0, ANSWER_AT, big);
            add_symbol(&elf, 8, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), TEXT, ANSWER_AT, ANSWER_LEN, big);
            add_symbol(&elf, 15, ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), SHN_UNDEF, 0, 0, big);
        }
        if (i == STRTAB) bytes_add(&elf, elf_strings, sizeof elf_strings);
        if (i == SHSTRTAB) bytes_add(&elf, elf_section_names, sizeof elf_section_names);
    }
    if (!shape.headers_first) {
        align_to(&elf, 8);
        headers = elf.len;
        bytes_grow(&elf, SECTIONS * sizeof(Elf64_Shdr));
    }
    if (shape.extended) {
        sections[NO_SECTION].size = SECTIONS;
        sections[NO_SECTION].link = SHSTRTAB;
    }
    for (size_t i = 0; i < SECTIONS; i++) put_section(elf.data + headers + i * sizeof(Elf64_Shdr), &sections[i], big);
    memset(bytes_grow(&elf, shape.trailing), 0xee, shape.trailing);
    put_elf_header(&elf, &shape, headers);
    return elf;
}

/* Returns the offset of a section header of the little-endian ELF at `offset`; for SECTIONS, the end of the table. */
static inline size_t section_at(const bytes_t *bytes, size_t offset, size_t index) {
    uint64_t headers = get_u64(bytes->data + offset + offsetof(Elf64_Ehdr, e_shoff));
    return offset + (size_t)headers + index * sizeof(Elf64_Shdr);
}

/* ---- artifact bodies ---- */

static inline void add_str(bytes_t *out, const char *text) {
    add_u64(out, strlen(text));
    bytes_add(out, text, strlen(text));
}

/* Appends an ELF: the first at offset 0, further ones after a link. */
static inline void add_linked(bytes_t *out, const bytes_t *elf, uint64_t align) {
    if (out->len) {
        add_u64(out, (out->len + 8 + align - 1) / align * align);
        align_to(out, align);
    }
    bytes_add(out, elf->data, elf->len);
}

/* Appends the terminator, the producer's header and the version. */
static inline void add_header(bytes_t *out, const char *producer, const char *version) {
    add_u64(out, UINT64_MAX);
    add_u8(out, 0);
    bytes_add(out, producer, strlen(producer));
    bytes_add(out, "-aot", 4);
    add_u8(out, (uint8_t)strlen(version));
    bytes_add(out, version, strlen(version));
}

/* Appends the tunables of the default profile, 39 bytes. */
static inline void add_tunables(bytes_t *out) {
    add_u64(out, 65536);
    add_u64(out, UINT64_C(2147483648));
    add_u64(out, 65536);
    add_u64(out, UINT64_C(2147483648));
    bytes_add(out, "\0\0\0\0\0\1\1", 7);
}

static inline void add_features(bytes_t *out) { bytes_add(out, "\1\1\1\0\1\0\0\0\0\0\0", 11); }

/* Appends Metadata up to the upvars: a target, no flags, default tunables and features. */
static inline void add_settings(bytes_t *out, const char *target) {
    add_str(out, target);
    add_u64(out, 0);
    add_u64(out, 0);
    add_tunables(out);
    add_features(out);
}

/* Appends the end of Metadata: no upvars, no types. */
static inline void add_no_types(bytes_t *out) { bytes_grow(out, 4 * 8); }

/* Returns a body of one module, up to Metadata. */
static inline bytes_t make_front(const char *producer, const char *version) {
    bytes_t elf = make_elf((shape_t){0}), out = {0};
    add_linked(&out, &elf, 1);
    add_header(&out, producer, version);
    bytes_free(&elf);
    return out;
}

/* Returns a minimal complete artifact: one module, the given names, plain settings. */
static inline bytes_t make_body(const char *producer, const char *version) {
    bytes_t out = make_front(producer, version);
    add_settings(&out, HOST_TARGET);
    add_no_types(&out);
    return out;
}

#endif

/* Shared by the benchmarks: alternatives that are measured side by side, a scratch folder, modules. */
#ifndef BENCH_H
#define BENCH_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <artifact.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Computes BLAKE3 with the unmodified crate on one thread: benches/raw. */
void raw_blake3(const uint8_t *data, size_t len, uint8_t digest[32]);

/* ---- Errors ---- */

/* Exits if a call failed. Takes a pointer to the error, because the call in the first argument sets it, and C may
 * evaluate the second argument earlier. */
static inline void must(artifact_status_t status, artifact_error_t **error) {
    if (status == ARTIFACT_OK) return;
    fprintf(stderr, "%s: %s\n", artifact_status_name(status), artifact_error_message(*error));
    exit(1);
}

static inline void must_work(int good, const char *what) {
    if (good) return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- Files ---- */

typedef struct {
    const uint8_t *data;
    size_t len;
} bytes_t;

/* Maps a file. */
static inline bytes_t map_file(const char *path) {
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    must_work(fd >= 0 && fstat(fd, &stat) == 0, path);
    void *data = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    must_work(data != MAP_FAILED && close(fd) == 0, path);
    return (bytes_t){data, (size_t)stat.st_size};
}

static inline void unmap(bytes_t bytes) { must_work(munmap((void *)(uintptr_t)bytes.data, bytes.len) == 0, "munmap"); }

/* ---- Measuring ---- */

/* One of the alternatives, and its median time in nanoseconds. */
typedef struct {
    void (*run)(void *context);
    void *context;
    double ns;
} way_t;

static inline double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static inline int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/*
 * Measures alternatives in rounds. Every round runs all of them, starting with a different one, so that changes of the
 * machine's speed affect all alike. A short one runs several times per round, so that reading the clock is negligible.
 */
static inline void measure(way_t *ways, size_t count, size_t turns) {
    const double long_enough = 100e3;
    double *times = calloc(count * turns, sizeof *times);
    size_t *runs = calloc(count, sizeof *runs);
    must_work(times && runs, "memory");
    for (size_t i = 0; i < count; i++) {
        double start, end;
        ways[i].run(ways[i].context); /* warm up */
        start = now();
        do {
            ways[i].run(ways[i].context);
            end = now();
            runs[i]++;
        } while (end - start < long_enough);
    }
    for (size_t turn = 0; turn < turns; turn++) {
        for (size_t at = 0; at < count; at++) {
            size_t i = (at + turn) % count;
            double start = now();
            for (size_t again = 0; again < runs[i]; again++) ways[i].run(ways[i].context);
            times[i * turns + turn] = (now() - start) / (double)runs[i];
        }
    }
    for (size_t i = 0; i < count; i++) {
        qsort(&times[i * turns], turns, sizeof *times, by_size);
        ways[i].ns = times[i * turns + turns / 2];
    }
    free(times);
    free(runs);
}

static inline void print_size(uint64_t size) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    size_t unit = 0;
    while (unit < 3 && size >= 1024) {
        size = (size + 512) / 1024;
        unit++;
    }
    printf("%5llu %-3s", (unsigned long long)size, units[unit]);
}

static inline int at_most(const char *what, double found, double max, const char *unit) {
    printf("  %-4s %s: %.2f%s, at most %.2f%s\n", found <= max ? "pass" : "FAIL", what, found, unit, max, unit);
    return found <= max;
}

static inline int at_least(const char *what, double found, double min) {
    printf("  %-4s %s: %.2f, at least %.2f\n", found >= min ? "pass" : "FAIL", what, found, min);
    return found >= min;
}

/* ---- The scratch folder ---- */

static char folder[4096];

/* Called at exit and from signal handlers, so it uses async-signal-safe functions only. */
static inline void remove_folder(void) {
    for (char name[] = "a"; *name <= 'z'; ++*name) unlink(name);
    for (unsigned i = 0; i < 1000; i++) {
        const char name[] = {'0', (char)('0' + i / 100), (char)('0' + i / 10 % 10), (char)('0' + i % 10), 0};
        if (unlink(name) != 0) break;
    }
    rmdir(folder);
}

static inline void stopped(int number) {
    (void)number;
    remove_folder();
    _exit(1);
}

typedef struct {
    int strict, quick;
} arguments_t;

/* Parses the command line, makes the scratch folder and changes to it. Files in it have names of one lower-case letter,
 * or from 0000 to 0999. */
static inline arguments_t begin(int argc, char **argv) {
    arguments_t arguments = {0};
    const char *parent = getenv("TMPDIR");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--strict") == 0) {
            arguments.strict = 1;
        } else if (strcmp(argv[i], "--quick") == 0) {
            arguments.quick = 1;
        } else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc) {
            parent = argv[++i];
        } else {
            fprintf(stderr, "usage: %s [--strict] [--quick] [--dir FOLDER]\n", argv[0]);
            exit(2);
        }
    }
    snprintf(folder, sizeof folder, "%s/artifact-bench-XXXXXX", parent && *parent ? parent : "/tmp");
    char *absolute = mkdtemp(folder) ? realpath(folder, NULL) : NULL;
    must_work(absolute && strlen(absolute) < sizeof folder && chdir(absolute) == 0, folder);
    snprintf(folder, sizeof folder, "%s", absolute);
    free(absolute);
    atexit(remove_folder);
    signal(SIGINT, stopped);
    signal(SIGTERM, stopped);
    signal(SIGPIPE, stopped);
    return arguments;
}

/* ---- Modules ---- */

/*
 * Writes an ELF file with a .text of `text_len` zero bytes, page-aligned if it is large. The file is sparse, so that
 * large ones take neither time nor disk space.
 */
static inline void make_module(const char *path, uint64_t text_len) {
    static const char names[] = "\0.text\0.shstrtab";
    uint64_t align = text_len >= 32 * 1024 ? 4096 : 16;
    uint64_t text = align > sizeof(Elf64_Ehdr) ? align : sizeof(Elf64_Ehdr);
    uint64_t strings = text + text_len;
    uint64_t table = (strings + sizeof names + 7) / 8 * 8;
    Elf64_Ehdr header = {.e_type = ET_REL, .e_machine = EM_X86_64, .e_version = EV_CURRENT};
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_ehsize = sizeof header;
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shoff = table;
    header.e_shnum = 3;
    header.e_shstrndx = 2;
    Elf64_Shdr sections[3] = {{0}};
    sections[1].sh_name = 1;
    sections[1].sh_type = SHT_PROGBITS;
    sections[1].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
    sections[1].sh_offset = text;
    sections[1].sh_size = text_len;
    sections[1].sh_addralign = align;
    sections[2].sh_name = 7;
    sections[2].sh_type = SHT_STRTAB;
    sections[2].sh_offset = strings;
    sections[2].sh_size = sizeof names;
    sections[2].sh_addralign = 1;

    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must_work(fd >= 0, path);
    must_work(pwrite(fd, &header, sizeof header, 0) == (ssize_t)sizeof header, path);
    must_work(pwrite(fd, names, sizeof names, (off_t)strings) == (ssize_t)sizeof names, path);
    must_work(pwrite(fd, sections, sizeof sections, (off_t)table) == (ssize_t)sizeof sections, path);
    must_work(close(fd) == 0, path);
}

/* A callback that writes an artifact to a file and leaves a hole for the zeros in the middle of a large module. */
static inline int write_sparse(void *context, const uint8_t *data, size_t len) {
    const size_t ends = 64 * 1024;
    int fd = *(int *)context;
    size_t hole = len > 3 * ends ? len - 2 * ends : 0;
    size_t before = hole ? ends : len;
    if (write(fd, data, before) != (ssize_t)before) return EIO;
    if (hole) {
        if (lseek(fd, (off_t)hole, SEEK_CUR) < 0) return errno;
        if (write(fd, data + before + hole, ends) != (ssize_t)ends) return EIO;
    }
    return 0;
}

/* Saves an artifact of equal modules with a total length of about `len`, with or without a trailer. */
static inline void make_artifact(const artifact_engine_t *engine, const char *path, size_t modules, uint64_t len,
                                 int trailer) {
    /* The headers of a module, padding, and the settings after the modules. */
    const uint64_t around = len / modules >= 64 * 1024 ? 4096 + 1800 : 1800;
    uint64_t text_len = len / modules - around;
    artifact_error_t *error = NULL;
    artifact_builder_t *builder = NULL;
    make_module("m", text_len);
    must(artifact_builder_new(engine, &builder, &error), &error);
    must(artifact_builder_set_trailer(builder, trailer, &error), &error);
    for (size_t i = 0; i < modules; i++) must(artifact_builder_add_module_file(builder, "m", NULL, &error), &error);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must_work(fd >= 0, path);
    must(artifact_serialize_to(builder, write_sparse, &fd, &error), &error);
    must_work(close(fd) == 0, path);
    artifact_builder_free(builder);
    must_work(unlink("m") == 0, "m");
}

#endif

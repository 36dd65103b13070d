/*
 * How long opening and saving take, against the system calls that nobody can do without, in the same run: each round
 * measures both, and the medians of all rounds are compared. `--strict` fails if a bar is missed, `--dir FOLDER` says
 * where the scratch files go (saving depends on the disk), `--quick` takes fewer rounds.
 */
#define _GNU_SOURCE
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

/* The bars, for files of one module. */
static const double most_ratio = 2.0;       /* times the raw calls */
static const double most_spread = 1.25;     /* slowest size by fastest size */
static const double most_check_ns = 1000.0; /* the check alone */

/* The scratch folder, in which the program works, and what may be in it. */
static char folder[4096];
#define MODULE "module.o"
#define SAVED "saved.artifact"
#define TEMPORARY "saved.tmp"
enum { MOST_OPENINGS = 5 };
static const char *const opened_files[MOST_OPENINGS] = {"0.artifact", "1.artifact", "2.artifact", "3.artifact",
                                                        "4.artifact"};
static size_t rounds = 1001;

/* By its address: the call in the first argument sets it, and C may look at the second one before. */
static void must(artifact_status_t status, artifact_error_t **error) {
    if (status == ARTIFACT_OK) return;
    fprintf(stderr, "%s: %s\n", artifact_status_name(status), artifact_error_message(*error));
    exit(1);
}

static void must_work(int good, const char *what) {
    if (good) return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, by_size);
    return values[count / 2];
}

/* Two ways to do a thing, in nanoseconds: the medians of their rounds. */
typedef struct {
    double raw, ours;
} pair_t;

typedef void (*run_fn)(void *context);

/*
 * Many things, each done in both ways: every turn does all of them, and takes turns at which way goes first, so that a
 * change of the machine's speed meets all alike. Each measurement runs a few times, so that reading the clock doesn't
 * count.
 */
static void compare(run_fn raw, run_fn ours, void *const *contexts, pair_t *medians, size_t count, size_t turns) {
    const double long_enough = 100e3;
    double *times = calloc(2 * count * turns, sizeof *times);
    size_t *runs = calloc(2 * count, sizeof *runs);
    must_work(times && runs, "memory");
    for (size_t i = 0; i < 2 * count; i++) {
        run_fn run = i % 2 ? raw : ours;
        double start, end;
        run(contexts[i / 2]); /* warm */
        start = now();
        do {
            run(contexts[i / 2]);
            end = now();
            runs[i]++;
        } while (end - start < long_enough);
    }
    for (size_t turn = 0; turn < turns; turn++) {
        for (size_t at = 0; at < 2 * count; at++) {
            size_t i = at ^ (turn % 2);
            run_fn run = i % 2 ? raw : ours;
            double start = now();
            for (size_t again = 0; again < runs[i]; again++) run(contexts[i / 2]);
            times[i * turns + turn] = (now() - start) / (double)runs[i];
        }
    }
    for (size_t i = 0; i < count; i++) {
        medians[i].ours = median(&times[2 * i * turns], turns);
        medians[i].raw = median(&times[(2 * i + 1) * turns], turns);
    }
    free(times);
    free(runs);
}

/* ---- Modules ---- */

/*
 * An ELF file with a .text of that many zero bytes, on pages of their own if there are some. In a file it is sparse:
 * what is large takes neither time to make nor room.
 */
static void make_module(const char *path, uint64_t text_len) {
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

/* Takes an artifact that is being made into a file, and leaves a hole where the middle of a large module is zero. */
static int write_sparse(void *context, const uint8_t *data, size_t len) {
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

/* An artifact of so many modules, all alike, and of about that length. */
static void make_artifact(const artifact_engine_t *engine, const char *path, size_t modules, uint64_t len) {
    /* Headers of a module, padding, and what follows the modules. */
    const uint64_t around = len / modules >= 64 * 1024 ? 4096 + 1800 : 1800;
    uint64_t text_len = len / modules - around;
    artifact_error_t *error = NULL;
    artifact_builder_t *builder = NULL;
    make_module(MODULE, text_len);
    must(artifact_builder_new(engine, &builder, &error), &error);
    for (size_t i = 0; i < modules; i++) must(artifact_builder_add_module_file(builder, MODULE, NULL, &error), &error);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must_work(fd >= 0, path);
    must(artifact_serialize_to(builder, write_sparse, &fd, &error), &error);
    must_work(close(fd) == 0, path);
    artifact_builder_free(builder);
    must_work(unlink(MODULE) == 0, MODULE);
}

/* ---- Opening ---- */

typedef struct {
    const artifact_engine_t *engine;
    const char *settings;
    size_t modules;
    uint64_t len; /* about */
    artifact_t *artifact;
    const char *path;
} opening_t;

static void open_raw(void *context) {
    const opening_t *opening = context;
    struct stat stat;
    int fd = open(opening->path, O_RDONLY | O_CLOEXEC);
    must_work(fd >= 0 && fstat(fd, &stat) == 0, opening->path);
    void *bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    must_work(bytes != MAP_FAILED, opening->path);
    munmap(bytes, (size_t)stat.st_size);
    close(fd);
}

static void open_ours(void *context) {
    const opening_t *opening = context;
    artifact_error_t *error = NULL;
    artifact_t *artifact = NULL;
    must(artifact_open_file(opening->path, opening->engine, NULL, &artifact, &error), &error);
    must(artifact_check_compat(artifact, opening->engine, &error), &error);
    artifact_free(artifact);
}

static void check_ours(void *context) {
    const opening_t *opening = context;
    artifact_error_t *error = NULL;
    must(artifact_check_compat(opening->artifact, opening->engine, &error), &error);
}

static void nothing(void *context) { (void)context; }

static void print_size(uint64_t size) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    size_t unit = 0;
    while (unit < 3 && size >= 1024) {
        size = (size + 512) / 1024;
        unit++;
    }
    printf("%5llu %-3s", (unsigned long long)size, units[unit]);
}

static void measure_opening(opening_t *openings, size_t count, pair_t *open, pair_t *check) {
    artifact_error_t *error = NULL;
    void *contexts[MOST_OPENINGS];
    for (size_t i = 0; i < count; i++) {
        opening_t *opening = &openings[i];
        opening->path = opened_files[i];
        make_artifact(opening->engine, opening->path, opening->modules, opening->len);
        must(artifact_open_file(opening->path, opening->engine, NULL, &opening->artifact, &error), &error);
        contexts[i] = opening;
    }
    compare(open_raw, open_ours, contexts, open, count, rounds);
    compare(nothing, check_ours, contexts, check, count, rounds);
    for (size_t i = 0; i < count; i++) {
        const opening_t *opening = &openings[i];
        printf("  %4zu  ", opening->modules);
        print_size(artifact_file_len(opening->artifact));
        printf("  %-14s %8.2f %8.2f   %5.2f   %7.0f\n", opening->settings, open[i].raw / 1e3, open[i].ours / 1e3,
               open[i].ours / open[i].raw, check[i].ours);
        artifact_free(opening->artifact);
        must_work(unlink(opening->path) == 0, opening->path);
    }
    fflush(stdout);
}

/* ---- Saving ---- */

typedef struct {
    const artifact_builder_t *builder;
    const artifact_buffer_t *bytes;
    artifact_save_options_t options;
} saving_t;

static void save_raw(void *context) {
    const saving_t *saving = context;
    int sync = !(saving->options.flags & ARTIFACT_SAVE_NO_SYNC);
    int fd = open(TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must_work(fd >= 0, TEMPORARY);
    const uint8_t *data = artifact_buffer_data(saving->bytes);
    for (size_t rest = artifact_buffer_len(saving->bytes); rest;) {
        ssize_t written = write(fd, data, rest);
        must_work(written > 0, TEMPORARY);
        data += written;
        rest -= (size_t)written;
    }
    must_work((!sync || fsync(fd) == 0) && close(fd) == 0, TEMPORARY);
    must_work(rename(TEMPORARY, SAVED) == 0, SAVED);
    if (!sync) return;
    fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must_work(fd >= 0 && fsync(fd) == 0 && close(fd) == 0, folder);
}

static void save_ours(void *context) {
    const saving_t *saving = context;
    artifact_error_t *error = NULL;
    must(artifact_serialize_to_file(saving->builder, SAVED, &saving->options, &error), &error);
}

static void measure_saving(const artifact_engine_t *engine, uint64_t len, int sync, size_t turns) {
    artifact_error_t *error = NULL;
    artifact_builder_t *builder = NULL;
    artifact_buffer_t *bytes = NULL;
    make_module(MODULE, len);
    must(artifact_builder_new(engine, &builder, &error), &error);
    must(artifact_builder_add_module_file(builder, MODULE, NULL, &error), &error);
    must(artifact_serialize(builder, &bytes, &error), &error);

    saving_t saving = {builder, bytes, ARTIFACT_SAVE_OPTIONS_INIT};
    if (!sync) saving.options.flags = ARTIFACT_SAVE_NO_SYNC;
    void *context = &saving;
    pair_t times;
    compare(save_raw, save_ours, &context, &times, 1, turns);
    printf("  ");
    print_size(len);
    printf("  %-9s %10.1f %10.1f   %5.2f\n", sync ? "synced" : "not", times.raw / 1e3, times.ours / 1e3,
           times.ours / times.raw);
    fflush(stdout);
    artifact_buffer_free(bytes);
    artifact_builder_free(builder);
    must_work(unlink(SAVED) == 0 && unlink(MODULE) == 0, SAVED);
}

/* ---- */

static void remove_folder(void) {
    for (size_t i = 0; i < MOST_OPENINGS; i++) unlink(opened_files[i]);
    unlink(MODULE);
    unlink(SAVED);
    unlink(TEMPORARY);
    rmdir(folder);
}

static void stopped(int signal) {
    (void)signal;
    remove_folder();
    _exit(1);
}

static int bar(const char *what, double found, double most, const char *unit) {
    int good = found <= most;
    printf("  %-4s %s: %.2f%s, at most %.2f%s\n", good ? "pass" : "FAIL", what, found, unit, most, unit);
    return good;
}

int main(int argc, char **argv) {
    int strict = 0, quick = 0;
    const char *parent = getenv("TMPDIR");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--strict") == 0) {
            strict = 1;
        } else if (strcmp(argv[i], "--quick") == 0) {
            quick = 1;
        } else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc) {
            parent = argv[++i];
        } else {
            fprintf(stderr, "usage: %s [--strict] [--quick] [--dir FOLDER]\n", argv[0]);
            return 2;
        }
    }
    if (quick) rounds = 101;
    snprintf(folder, sizeof folder, "%s/artifact-bench-XXXXXX", parent && *parent ? parent : "/tmp");
    char *absolute = mkdtemp(folder) ? realpath(folder, NULL) : NULL;
    must_work(absolute && strlen(absolute) < sizeof folder && chdir(absolute) == 0, folder);
    snprintf(folder, sizeof folder, "%s", absolute);
    free(absolute);
    atexit(remove_folder);
    signal(SIGINT, stopped);
    signal(SIGTERM, stopped);
    signal(SIGPIPE, stopped);

    /* As many settings as a real compiler has; and the settings of cc, with every instruction set of this CPU. */
    artifact_engine_t *wasmtime = artifact_engine_new_wasmtime(), *host = artifact_engine_new_host();
    printf("libartifact %s; medians of %zu rounds. A Wasmtime engine has %zu flags, a host engine %zu.\n\n",
           artifact_version_string(), rounds,
           artifact_engine_flag_count(wasmtime, ARTIFACT_FLAGS_SHARED) +
               artifact_engine_flag_count(wasmtime, ARTIFACT_FLAGS_ISA),
           artifact_engine_flag_count(host, ARTIFACT_FLAGS_ISA));

    printf("Opening, warm. raw: open fstat mmap munmap close; ours: open check close\n");
    printf("modules  file size settings        raw µs  ours µs   ratio  check ns\n");
    enum { SIZES = 5, OTHERS = 3 };
    static const uint64_t sizes[SIZES] = {4 << 10, 64 << 10, 1 << 20, 64 << 20, 1 << 30};
    opening_t openings[SIZES] = {{0}};
    pair_t open[MOST_OPENINGS], check[MOST_OPENINGS];
    for (size_t i = 0; i < SIZES; i++)
        openings[i] = (opening_t){.engine = wasmtime, .settings = "Wasmtime", .modules = 1, .len = sizes[i]};
    measure_opening(openings, SIZES, open, check);
    double worst_ratio = 0, worst_check = 0, fastest = open[0].ours, slowest = 0;
    for (size_t i = 0; i < SIZES; i++) {
        double ratio = open[i].ours / open[i].raw, ours = open[i].ours;
        if (ratio > worst_ratio) worst_ratio = ratio;
        if (check[i].ours > worst_check) worst_check = check[i].ours;
        if (ours < fastest) fastest = ours;
        if (ours > slowest) slowest = ours;
    }
    printf("for information:\n");
    opening_t others[OTHERS] = {{.engine = host, .settings = "host", .modules = 1, .len = 64 << 10},
                                {.engine = wasmtime, .settings = "Wasmtime", .modules = 51, .len = 51 * 8192},
                                {.engine = wasmtime, .settings = "Wasmtime", .modules = 1000, .len = 1000 * 8192}};
    measure_opening(others, OTHERS, open, check);

    printf("\nSaving, for information. raw: open write (fsync) close rename (fsync of the folder); ours: "
           "artifact_serialize_to_file\n");
    printf("      size  disk          raw µs    ours µs   ratio\n");
    static const uint64_t saved[] = {4 << 10, 1 << 20, 64 << 20};
    for (size_t i = 0; i < sizeof saved / sizeof *saved; i++) {
        size_t turns = saved[i] > (1 << 20) ? 7 : quick ? 21 : 101;
        measure_saving(wasmtime, saved[i], 0, turns);
        measure_saving(wasmtime, saved[i], 1, turns);
    }

    printf("\nBars, for files of one module\n");
    int good = bar("open, check and close, against the raw calls", worst_ratio, most_ratio, "x");
    good = bar("slowest size against fastest", slowest / fastest, most_spread, "x") && good;
    good = bar("the check alone", worst_check, most_check_ns, " ns") && good;
    artifact_engine_free(wasmtime);
    artifact_engine_free(host);
    return strict && !good ? 1 : 0;
}

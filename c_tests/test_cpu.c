/* What this CPU can run: features with their state and permission, lengths of vectors, and engines that claim more. */
#include "check.h"
#include "image.h"
#include "native.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

/* Opens an artifact of this module that names the flag. The engine that it is compared with is the host's. */
static artifact_t *needing(const char *module, const char *name, const char *text) {
    artifact_engine_t *engine = artifact_engine_new(), *host = artifact_engine_new_host();
    if (text) {
        CHECK_OK(artifact_engine_set_flag_enum(engine, ARTIFACT_FLAGS_ISA, name, text, &error));
    } else {
        CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, name, true, &error));
    }
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_module_file(builder, native(module), NULL, &error));
    bytes_t bytes = serialize(builder);
    artifact_t *artifact = open_bytes(&bytes, host);
    bytes_free(&bytes);
    artifact_builder_free(builder);
    artifact_engine_free(engine), artifact_engine_free(host);
    return artifact;
}

/* Returns a feature that this CPU lacks. */
static const char *absent(const artifact_engine_t *host) {
#if defined(__x86_64__)
    static const char *const candidates[] = {"avx512er", "lwp", "32bit-mode"};
#else
    static const char *const candidates[] = {"tme", "sve2p3"};
#endif
    for (size_t i = 0; i < COUNT(candidates); i++) {
        artifact_flag_t flag;
        if (artifact_engine_flag(host, ARTIFACT_FLAGS_ISA, candidates[i], &flag, NULL)) return candidates[i];
    }
    check_fail(__FILE__, __LINE__, "a feature that this CPU lacks", "it has all of them", "");
    return NULL;
}

TEST(cpu_load_looks_at_the_cpu_whatever_the_engine_says) {
    need_machine();
    artifact_engine_t *engine = artifact_engine_new_host();
    const char *name = absent(engine);
    artifact_t *artifact = needing("small", name, NULL);
    char sentence[200];
    snprintf(sentence, sizeof sentence,
             "Module was compiled with setting '%s' enabled but the host does not support it", name);
    CHECK_FAILS(artifact_check_compat(artifact, engine, &error), ARTIFACT_INCOMPATIBLE, sentence);
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, name, true, &error));
    CHECK_OK(artifact_check_compat(artifact, engine, &error)); /* a comparison with another CPU */
    artifact_code_t *code = GARBAGE;
    CHECK_FAILS(artifact_load(artifact, engine, NULL, &code, &error), ARTIFACT_INCOMPATIBLE, sentence);
    CHECK(code == NULL);
    artifact_free(artifact);
    artifact_engine_free(engine);
}

TEST(cpu_load_does_not_judge_flags_that_are_not_features) {
    need_machine();
    artifact_engine_t *engine = artifact_engine_new_host();
    static const char *const names[] = {"my-own-flag", "fast-gather", "prefer-256-bit"};
    for (size_t i = 0; i < COUNT(names); i++) {
        artifact_t *artifact = needing("small", names[i], NULL);
        if (i == 0) {
            CHECK_FAILS(artifact_check_compat(artifact, engine, &error), ARTIFACT_INCOMPATIBLE,
                        "'my-own-flag' enabled, which is unknown");
            CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, names[i], true, &error));
        }
        artifact_code_t *code = NULL;
        CHECK_OK(artifact_load(artifact, engine, NULL, &code, &error));
        artifact_code_free(code);
        artifact_free(artifact);
    }
    artifact_engine_free(engine);
}

TEST(cpu_length_of_vectors) {
    need_machine();
    artifact_engine_t *host = artifact_engine_new_host();
    artifact_flag_t flag;
    artifact_status_t found = artifact_engine_flag(host, ARTIFACT_FLAGS_ISA, "sve-vector-bits", &flag, NULL);
    char bits[16] = "";
#if defined(__aarch64__) && defined(PR_SVE_GET_VL)
    int length = prctl(PR_SVE_GET_VL, 0, 0, 0, 0);
    if (length > 0) snprintf(bits, sizeof bits, "%d", (length & PR_SVE_VL_LEN_MASK) * 8);
#endif
    CHECK((found == ARTIFACT_OK) == (bits[0] != 0));
    if (found == ARTIFACT_OK) {
        CHECK(flag.kind == ARTIFACT_FLAG_ENUM);
        CHECK_STR(flag.text, bits);
        artifact_t *artifact = needing("small", "sve-vector-bits", bits);
        CHECK_OK(artifact_check_compat(artifact, host, &error));
        artifact_free(artifact);
    }
    /* Code for another length does not fit, whatever the engine says. */
    artifact_t *artifact = needing("small", "sve-vector-bits", "1920");
    CHECK_FAILS(artifact_check_compat(artifact, host, &error), ARTIFACT_INCOMPATIBLE, "sve-vector-bits");
    CHECK_OK(artifact_engine_set_flag_enum(host, ARTIFACT_FLAGS_ISA, "sve-vector-bits", "1920", &error));
    CHECK_OK(artifact_check_compat(artifact, host, &error));
    artifact_code_t *code = GARBAGE;
    CHECK_FAILS(artifact_load(artifact, host, NULL, &code, &error), ARTIFACT_INCOMPATIBLE, "sve-vector-bits");
    artifact_free(artifact);
    /* Code for any length fits every engine. */
    artifact = needing("small", "fast-gather", NULL);
    CHECK_OK(artifact_check_compat(artifact, host, &error));
    artifact_free(artifact);
    artifact_engine_free(host);
}

TEST(cpu_amx_counts_with_permission) {
#if defined(__x86_64__) && defined(__linux__)
    enum { GET_PERMISSION = 0x1022, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    artifact_engine_t *before = artifact_engine_new_host();
    artifact_flag_t flag;
    unsigned long permitted = 0;
    if (syscall(SYS_arch_prctl, GET_PERMISSION, &permitted) || !(permitted >> TILE_DATA & 1)) {
        CHECK(artifact_engine_flag(before, ARTIFACT_FLAGS_ISA, "amx-tile", &flag, NULL) == ARTIFACT_NOT_FOUND);
    }
    if (syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA)) {
        artifact_engine_free(before);
        SKIP("no AMX here");
    }
    artifact_engine_t *after = artifact_engine_new_host();
    CHECK_OK(artifact_engine_flag(after, ARTIFACT_FLAGS_ISA, "amx-tile", &flag, &error));
    artifact_t *artifact = needing("small", "amx-tile", NULL);
    CHECK_OK(artifact_check_compat(artifact, after, &error));
    artifact_code_t *code = NULL;
    CHECK_OK(artifact_load(artifact, after, NULL, &code, &error));
    artifact_code_free(code);
    artifact_free(artifact);
    artifact_engine_free(before), artifact_engine_free(after);
#else
    SKIP("AMX is a feature of x86-64");
#endif
}

/* The engine's target decides, not the host. */
TEST(cpu_check_compares_every_modules_header) {
    static const struct {
        const char *target;
        uint16_t machine;
        bool big_endian, fits;
        const char *words;
    } cases[] = {
        {"x86_64-unknown-linux-gnu", EM_X86_64, false, true, NULL},
        {"x86_64-unknown-linux-gnu", EM_AARCH64, false, false, "aarch64 (machine 183)|x86-64 (machine 62)"},
        {"x86_64-unknown-linux-gnu", EM_S390, true, false, "s390x (machine 22), big-endian"},
        {"x86_64-unknown-linux-gnu", EM_X86_64, true, false, "x86-64 (machine 62), big-endian"},
        {"x86_64-unknown-linux-gnux32", EM_X86_64, false, false, "32-bit"},
        {"s390x-unknown-linux-gnu", EM_S390, true, true, NULL},
        {"s390x-unknown-linux-gnu", EM_S390, false, false, "s390x (machine 22), little-endian"},
        {"powerpc64le-unknown-linux-gnu", EM_PPC64, false, true, NULL},
        {"powerpc64le-unknown-linux-gnu", EM_PPC64, true, false, "PowerPC64 (machine 21), big-endian"},
        {"riscv64gc-unknown-linux-gnu", EM_RISCV, false, true, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int trailer = 0; trailer < 2; trailer++) {
            artifact_engine_t *engine = artifact_engine_new();
            CHECK_OK(artifact_engine_set_target(engine, cases[i].target, &error));
            artifact_builder_t *builder = new_builder(engine);
            CHECK_OK(artifact_builder_set_trailer(builder, trailer, &error));
            bytes_t image = make_elf((shape_t){.machine = cases[i].machine, .big_endian = cases[i].big_endian});
            for (int j = 0; j < 3; j++) {
                CHECK_OK(artifact_builder_add_module(builder, image.data, image.len, NULL, &error));
            }
            bytes_t bytes = serialize(builder);
            artifact_t *artifact = open_bytes(&bytes, engine);
            /* Twice: what the headers say is kept. */
            for (int j = 0; j < 2; j++) {
                artifact_report_t *report = NULL;
                CHECK_OK(artifact_compat_report(artifact, engine, &report, &error));
                if (cases[i].fits) {
                    CHECK_OK(artifact_check_compat(artifact, engine, &error));
                    CHECK(artifact_report_count(report) == 0);
                } else {
                    CHECK_FAILS(artifact_check_compat(artifact, engine, &error), ARTIFACT_INCOMPATIBLE, cases[i].words);
                    CHECK(artifact_report_count(report) == 3);
                    CHECK(artifact_report_kinds(report) == ARTIFACT_REPORT_MODULE_MACHINE);
                    CHECK(artifact_report_status(report) == ARTIFACT_INCOMPATIBLE);
                }
                artifact_report_free(report);
            }
            artifact_free(artifact);
            bytes_free(&bytes);
            bytes_free(&image);
            artifact_builder_free(builder);
            artifact_engine_free(engine);
        }
    }
}

/*
 * A host that runs only plug-ins that a trusted key has signed.
 *
 *     plugins key KEY.pem PUBLIC.pem           the vendor, once: makes a key; hosts get the public half
 *     plugins sign KEY.pem MODULE.so PLUGIN    the vendor: packs a module and signs it
 *     plugins run PUBLIC.pem PLUGIN...         the host: loads and calls plug-ins
 *
 * It shows: trusting a key, a version rule that identifies the host's interface, functions that the host provides to
 * modules, calling a symbol, and telling apart the reasons for a refusal.
 */
#include <artifact.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The interface between host and plug-ins. Change it whenever the interface changes incompatibly. */
#define INTERFACE "plugins 1"

static void fail(artifact_error_t *error) {
    fprintf(stderr, "%s: %s\n", artifact_status_name(artifact_error_status(error)), artifact_error_message(error));
    artifact_error_free(error);
    exit(1);
}

/* Sets what both sides must agree on. A plug-in for another interface is never opened. */
static artifact_engine_t *make_engine(artifact_engine_t *engine) {
    artifact_error_t *error;
    if (artifact_engine_set_producer(engine, "plugins", &error) ||
        artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, INTERFACE, &error))
        fail(error);
    return engine;
}

/* Returns the text of a PEM file, which the caller frees. */
static char *read_text(const char *path) {
    enum { MAX_PEM = 4096 };
    char *text = calloc(1, MAX_PEM + 1);
    FILE *file = fopen(path, "r");
    if (!text || !file || fread(text, 1, MAX_PEM, file) == 0) {
        perror(path);
        exit(1);
    }
    fclose(file);
    return text;
}

/* ---- the vendor ---- */

static int make_key(const char *key_path, const char *public_path) {
    artifact_error_t *error;
    artifact_key_t *key;
    artifact_public_key_t public_key;
    artifact_buffer_t *pem;
    if (artifact_key_generate(&key, &error) || artifact_key_save(key, key_path, &error) || /* never replaces a file */
        artifact_key_public(key, &public_key, &error) || artifact_public_key_to_pem(&public_key, &pem, &error))
        fail(error);
    FILE *file = fopen(public_path, "w");
    if (!file || fputs((const char *)artifact_buffer_data(pem), file) == EOF || fclose(file) != 0) {
        perror(public_path);
        exit(1);
    }
    artifact_buffer_free(pem);
    artifact_key_free(key);
    return 0;
}

static int sign(const char *key_path, const char *module, const char *plugin) {
    artifact_error_t *error;
    artifact_key_t *key;
    artifact_builder_t *builder;
    artifact_engine_t *engine = make_engine(artifact_engine_new());
    char *pem = read_text(key_path);
    if (artifact_key_from_pem(pem, &key, &error) || artifact_builder_new(engine, &builder, &error) ||
        artifact_builder_add_module_file(builder, module, NULL, &error) ||
        artifact_builder_add_key(builder, key, &error) || artifact_serialize_to_file(builder, plugin, NULL, &error))
        fail(error);
    artifact_builder_free(builder);
    artifact_key_free(key);
    artifact_engine_free(engine);
    free(pem);
    return 0;
}

/* ---- the host ---- */

static int host_calls;

/* The function that the host provides to plug-ins. */
static void host_print(const char *text) {
    host_calls++;
    printf("    %s\n", text);
}

/* ISO C cannot convert a function pointer to an object pointer. POSIX guarantees that they have the same
 * representation. */
typedef void (*function_t)(void);
static void *address_of(function_t function) {
    void *address;
    memcpy(&address, &function, sizeof address);
    return address;
}

static bool run_code(const artifact_code_t *code) {
    const char *(*name)(void);
    int (*run)(int);
    void *name_address = artifact_code_symbol(code, 0, "plugin_name", NULL);
    void *run_address = artifact_code_symbol(code, 0, "plugin_run", NULL);
    if (!name_address || !run_address) return fprintf(stderr, "    not a plug-in: a function is missing\n"), false;
    memcpy(&name, &name_address, sizeof name);
    memcpy(&run, &run_address, sizeof run);
    printf("    \"%s\" returned %d\n", name(), run(20));
    return true;
}

/* Returns the host's own explanation of a status. Status numbers never change their meaning. */
static const char *reason(artifact_status_t status) {
    switch (status) {
    case ARTIFACT_UNTRUSTED:
        return "it is not signed by a trusted key";
    case ARTIFACT_WRONG_PRODUCER:
    case ARTIFACT_WRONG_VERSION:
        return "it is not a plug-in, or for another version of the host";
    case ARTIFACT_INCOMPATIBLE:
        return "it is for another machine";
    case ARTIFACT_UNRESOLVED:
        return "it needs functions that this host does not have";
    case ARTIFACT_DIGEST_MISMATCH: /* of a module: the signature covers the settings */
        return "it was changed after it was signed";
    default:
        return "it cannot be used";
    }
}

static bool run_plugin(const char *path, const artifact_engine_t *host) {
    const artifact_import_t symbols[] = {{"host_print", address_of((function_t)host_print)}};
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.symbols = symbols;
    options.symbol_count = sizeof symbols / sizeof *symbols;
    artifact_error_t *error = NULL;
    artifact_t *artifact = NULL;
    artifact_code_t *code = NULL;
    printf("%s\n", path);
    bool good = false;
    /* artifact_load() checks machine and settings, and maps a private copy that it verified against the signature. */
    if (artifact_open_file(path, host, NULL, &artifact, &error) ||
        artifact_load(artifact, host, &options, &code, &error)) {
        printf("    refused: %s (%s)\n", reason(artifact_error_status(error)), artifact_error_message(error));
        artifact_error_free(error);
    } else {
        good = run_code(code);
    }
    artifact_code_free(code);
    artifact_free(artifact);
    return good;
}

static int run(const char *public_path, char **plugins, int count) {
    artifact_error_t *error;
    artifact_engine_t *host = make_engine(artifact_engine_new_host());
    char *pem = read_text(public_path);
    if (artifact_engine_trust_key(host, pem, &error)) fail(error);
    free(pem);
    int refused = 0;
    for (int i = 0; i < count; i++) refused += !run_plugin(plugins[i], host);
    artifact_engine_free(host);
    printf("%d of %d plug-ins ran and called the host %d times\n", count - refused, count, host_calls);
    return refused ? 1 : 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "key") == 0) return make_key(argv[2], argv[3]);
    if (argc == 5 && strcmp(argv[1], "sign") == 0) return sign(argv[2], argv[3], argv[4]);
    if (argc >= 4 && strcmp(argv[1], "run") == 0) return run(argv[2], argv + 3, argc - 3);
    fprintf(stderr, "usage: %s key KEY.pem PUBLIC.pem | sign KEY.pem MODULE.so PLUGIN | run PUBLIC.pem PLUGIN...\n",
            argv[0]);
    return 2;
}

/*
 * A small compiler that caches its machine code on disk: it compiles expressions over x to functions.
 *
 *     cache FOLDER VERSION EXPRESSION X...     cache /tmp/code 1 'sqrt(x*x + 1)' 2 3
 *
 * An expression that is not in the folder is compiled (to C, by cc, which takes long) and saved; one that is there is
 * mapped and run. Files that another version of the compiler made, that are for another CPU or that are damaged are
 * rebuilt and replaced. Many processes may use one folder at once: each sees either the old file or the complete new
 * one.
 *
 * It shows: a cache key and a check against collisions, what each status means for a cache, linking and loading.
 */
#define _POSIX_C_SOURCE 200809L
#include <artifact.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(artifact_error_t *error, const char *what) {
    fprintf(stderr, "%s: %s\n", what, error ? artifact_error_message(error) : strerror(errno));
    exit(1);
}

/* ---- the compiler: translates an expression to C, which cc compiles to an object ---- */

typedef struct parser_t {
    const char *at;
    FILE *out;
    int depth;
} parser_t;

static void refuse(const parser_t *parser, const char *wanted) {
    fprintf(stderr, "expected %s at '%s'\n", wanted, parser->at);
    exit(2);
}

static char next(parser_t *parser) {
    while (*parser->at == ' ') parser->at++;
    return *parser->at;
}

static void copy(parser_t *parser) { putc(*parser->at++, parser->out); }

static void expression(parser_t *parser);

static void operand(parser_t *parser) {
    while (next(parser) == '-') fputc(' ', parser->out), copy(parser);
    if (isdigit((unsigned char)*parser->at)) {
        fprintf(parser->out, "%.17e", strtod(parser->at, (char **)&parser->at));
    } else if (*parser->at == 'x') {
        copy(parser);
    } else {
        if (strncmp(parser->at, "sqrt", 4) == 0) fputs("sqrt", parser->out), parser->at += 4;
        if (next(parser) != '(' || ++parser->depth > 100) refuse(parser, "a number, x, or a parenthesis");
        copy(parser);
        expression(parser);
        if (next(parser) != ')') refuse(parser, ")");
        copy(parser);
        parser->depth--;
    }
}

/* C has the same operator precedence. */
static void expression(parser_t *parser) {
    operand(parser);
    while (next(parser) && strchr("+-*/", *parser->at)) copy(parser), operand(parser);
}

/* Returns the compiled object, which the caller frees. */
static uint8_t *compile(const char *text, size_t *len) {
    enum { MAX_OBJECT = 1 << 20 };
    char *c, path[] = "/tmp/cache-example-XXXXXX";
    parser_t parser = {text, open_memstream(&c, len), 0};
    if (!parser.out) fail(NULL, "compiler");
    fputs("double sqrt(double);\ndouble f(double x) { return ", parser.out);
    expression(&parser);
    if (next(&parser)) refuse(&parser, "an operator or the end");
    fputs("; }\n", parser.out);
    fclose(parser.out);

    int fd = mkstemp(path);
    if (fd < 0 || setenv("OBJECT", path, 1) != 0) fail(NULL, path);
    FILE *cc = popen("exec cc -O2 -fPIC -x c -c -o \"$OBJECT\" -", "w"), *object = fdopen(fd, "rb");
    uint8_t *bytes = malloc(MAX_OBJECT);
    if (!cc || !object || !bytes || fputs(c, cc) < 0 || pclose(cc) != 0) fail(NULL, "cc");
    *len = fread(bytes, 1, MAX_OBJECT, object);
    fclose(object);
    unlink(path);
    free(c);
    return bytes;
}

/* ---- the cache ---- */

/* Sets what compiler and reader must agree on. Files of another version of the compiler are stale. */
static artifact_engine_t *make_engine(const char *version) {
    artifact_engine_t *engine = artifact_engine_new();
    artifact_error_t *error;
    if (artifact_engine_set_producer(engine, "cache-example", &error) ||
        artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, version, &error))
        fail(error, version);
    return engine;
}

static artifact_code_t *load(const artifact_t *artifact, const artifact_engine_t *host, artifact_error_t **error) {
    static double (*const function)(double) = sqrt;
    artifact_import_t symbol = {"sqrt", NULL};
    memcpy(&symbol.address, &function, sizeof function);
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.symbols = &symbol;
    options.symbol_count = 1;
    artifact_code_t *code;
    artifact_load(artifact, host, &options, &code, error); /* also checks that it fits the host */
    return code;
}

/* Returns the code in the file, or NULL if it must be compiled. */
static artifact_code_t *find(const char *path, const artifact_engine_t *host, const char *text) {
    /* The cache doesn't sync its files, so a crash of the machine may leave a partial one. */
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_VERIFY;
    artifact_error_t *error;
    artifact_t *artifact;
    artifact_slice_t source = {NULL, 0};
    artifact_code_t *code = NULL;
    if (artifact_open_file(path, host, &options, &artifact, &error) == ARTIFACT_OK &&
        artifact_attribute(artifact, "expression", &source, &error) == ARTIFACT_OK && source.len == strlen(text) &&
        memcmp(source.data, text, source.len) == 0)
        code = load(artifact, host, &error);
    artifact_status_t status = artifact_error_status(error);
    if (status == ARTIFACT_OK) {
        printf(code ? "cached" : "collision"); /* the file has another expression with the same hash */
    } else if (status == ARTIFACT_IO && artifact_error_errno(error) == ENOENT) {
        printf("new");
    } else if (status >= 10 && status < 20) { /* not an artifact, or a damaged one */
        printf("damaged");
    } else if (status >= 20 && status < 30) { /* valid, but of another compiler or for another machine */
        printf("stale");
    } else {
        fail(error, path);
    }
    artifact_error_free(error);
    artifact_free(artifact); /* the code keeps what it needs of it */
    return code;
}

static artifact_code_t *make(const char *path, const artifact_engine_t *compiler, const artifact_engine_t *host,
                             const char *text) {
    artifact_object_t object = {.name = text};
    uint8_t *bytes = compile(text, &object.len);
    object.data = bytes;
    artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;
    options.flags = ARTIFACT_SAVE_NO_SYNC;
    artifact_error_t *error;
    artifact_builder_t *builder;
    artifact_buffer_t *buffer;
    artifact_t *artifact;
    if (artifact_builder_new(compiler, &builder, &error) ||
        artifact_builder_add_objects(builder, &object, 1, NULL, NULL, &error) ||
        artifact_builder_set_attribute(builder, "expression", (const uint8_t *)text, strlen(text), &error) ||
        artifact_serialize(builder, &buffer, &error) ||
        artifact_open_bytes(artifact_buffer_data(buffer), artifact_buffer_len(buffer), host, NULL, &artifact, &error))
        fail(error, text);
    /* Replace a bad file, never delete it first: another process may have just replaced it. If the cache cannot be
       written, the program still has its result. */
    if (artifact_serialize_to_file(builder, path, &options, &error))
        printf(" (not saved: %s)", artifact_error_message(error));
    artifact_error_free(error);
    artifact_code_t *code = load(artifact, host, &error);
    if (!code) fail(error, text);
    artifact_free(artifact), artifact_buffer_free(buffer), artifact_builder_free(builder);
    free(bytes);
    return code;
}

int main(int argc, char **argv) {
    if (argc < 5) return fprintf(stderr, "usage: %s FOLDER VERSION EXPRESSION X...\n", argv[0]), 2;
    const char *version = argv[2], *text = argv[3];
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a; hashes may collide, so the file also has the expression */
    for (const char *c = text; *c; c++) hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    char path[4096];
    snprintf(path, sizeof path, "%s/%016" PRIx64 ".artifact", argv[1], hash);
    mkdir(argv[1], 0777); /* if this fails and there is no such folder, nothing is saved */

    /* cc compiles for the baseline of this architecture; what it makes is checked against this CPU. */
    artifact_engine_t *compiler = make_engine(version), *host = artifact_engine_clone_for_host(compiler);
    artifact_code_t *code = find(path, host, text);
    if (!code) code = make(path, compiler, host, text);
    void *address = artifact_code_symbol(code, 0, "f", NULL);
    double (*f)(double);
    memcpy(&f, &address, sizeof f);
    for (int i = 4; i < argc; i++) printf(" %g", f(strtod(argv[i], NULL)));
    putchar('\n');
    artifact_code_free(code), artifact_engine_free(host), artifact_engine_free(compiler);
    return 0;
}

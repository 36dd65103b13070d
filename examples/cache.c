/*
 * A small compiler that caches its machine code on disk: it compiles expressions over x to functions.
 *
 *     cache FOLDER VERSION EXPRESSION X...     cache /tmp/code 1 'sqrt(x*x + 1)' 2 3
 *
 * An expression that is not in the folder is compiled (to C, by cc, which takes long) and stored; one that is there is
 * mapped and run. Many processes may use one folder at once: one of them compiles an expression, the others wait for
 * it. What is damaged, or from another version of the compiler, is not found, and compiled again.
 *
 * It shows: a compiler, one call of the cache, and loading.
 */
#define _POSIX_C_SOURCE 200809L
#include <artifact.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* Compiles an expression, for artifact_cache_get_or_make(). */
static uint32_t compile(void *text, artifact_builder_t *builder, artifact_error_t **error) {
    enum { MAX_OBJECT = 1 << 20 };
    char *c, path[] = "/tmp/cache-example-XXXXXX";
    size_t len;
    parser_t parser = {text, open_memstream(&c, &len), 0};
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
    const artifact_object_t code = {text, bytes, fread(bytes, 1, MAX_OBJECT, object)};
    fclose(object);
    unlink(path);
    artifact_status_t status = artifact_builder_add_objects(builder, &code, 1, NULL, NULL, error);
    free(bytes), free(c);
    return (uint32_t)status;
}

/* ---- its cache ---- */

/* Sets what says which compiler made an entry. */
static artifact_engine_t *of_compiler(artifact_engine_t *engine, const char *version) {
    artifact_error_t *error;
    if (artifact_engine_set_producer(engine, "cache-example", &error) ||
        artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, version, &error))
        fail(error, version);
    return engine;
}

/* Remembers why the cache had nothing, or could not store. */
static void note(void *why, uint32_t outcome, const char *path, const artifact_error_t *error) {
    (void)path, (void)error;
    if (outcome >= ARTIFACT_CACHE_NOT_STORED) *(uint32_t *)why = outcome;
}

static const char *name_of(uint32_t outcome) {
    return artifact_cache_outcome_name(outcome) + strlen("ARTIFACT_CACHE_");
}

static artifact_code_t *load(const artifact_t *artifact, const artifact_engine_t *host) {
    static double (*const function)(double) = sqrt;
    artifact_import_t symbol = {"sqrt", NULL};
    memcpy(&symbol.address, &function, sizeof function);
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.symbols = &symbol;
    options.symbol_count = 1;
    artifact_error_t *error;
    artifact_code_t *code;
    if (artifact_load(artifact, host, &options, &code, &error)) fail(error, "load");
    return code;
}

int main(int argc, char **argv) {
    if (argc < 5) return fprintf(stderr, "usage: %s FOLDER VERSION EXPRESSION X...\n", argv[0]), 2;
    char *text = argv[3];
    artifact_engine_t *host = of_compiler(artifact_engine_new_host(), argv[2]);
    /* cc compiles for the baseline of this architecture, so entries are shared with machines that have another CPU. */
    artifact_engine_t *baseline = of_compiler(artifact_engine_new(), argv[2]);
    uint32_t outcome, why = 0;
    artifact_cache_options_t options = ARTIFACT_CACHE_OPTIONS_INIT;
    options.targets = (const artifact_engine_t *const[]){baseline};
    options.target_count = 1;
    options.on_event = note;
    options.event_context = &why;

    artifact_error_t *error;
    artifact_cache_t *cache;
    artifact_t *artifact;
    artifact_cache_key_t *key = artifact_cache_key_new();
    if (artifact_cache_open(argv[1], host, &options, &cache, &error) ||
        artifact_cache_key_add(key, "expression", (const uint8_t *)text, strlen(text), &error) ||
        artifact_cache_get_or_make(cache, key, compile, text, &artifact, &outcome, &error))
        fail(error, text);

    artifact_code_t *code = load(artifact, host);
    void *address = artifact_code_symbol(code, 0, "f", NULL);
    double (*f)(double);
    memcpy(&f, &address, sizeof f);
    printf("%s", name_of(outcome));
    if (why) printf(" (%s)", name_of(why));
    for (int i = 4; i < argc; i++) printf(" %g", f(strtod(argv[i], NULL)));
    putchar('\n');
    artifact_code_free(code), artifact_free(artifact), artifact_cache_key_free(key);
    artifact_cache_free(cache), artifact_engine_free(baseline), artifact_engine_free(host);
    return 0;
}

/*
 * Code that libgccjit compiles is kept in a cache: warm_start FOLDER prints fib(40), and how many functions were
 * compiled. GCC compiles at the first start; later ones map what is in FOLDER, and never enter GCC.
 */
#include <artifact.h>
#include <libgccjit.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What the code is made from. All of it is part of the key. */
static const char recipe[] = "int64_t fib(int64_t), iterative, -O2";

static int compiled;

static int failed(artifact_error_t *error) {
    fprintf(stderr, "%s\n", artifact_error_message(error));
    artifact_error_free(error);
    return 1;
}

/* Describes `int64_t fib(int64_t n)` to GCC. */
static void describe(gcc_jit_context *context) {
    gcc_jit_type *word = gcc_jit_context_get_type(context, GCC_JIT_TYPE_INT64_T);
    gcc_jit_param *n = gcc_jit_context_new_param(context, NULL, word, "n");
    gcc_jit_function *fib =
        gcc_jit_context_new_function(context, NULL, GCC_JIT_FUNCTION_EXPORTED, word, "fib", 1, &n, 0);
    gcc_jit_lvalue *a = gcc_jit_function_new_local(fib, NULL, word, "a"), *left = gcc_jit_param_as_lvalue(n);
    gcc_jit_lvalue *b = gcc_jit_function_new_local(fib, NULL, word, "b"),
                   *sum = gcc_jit_function_new_local(fib, NULL, word, "sum");
    gcc_jit_rvalue *zero = gcc_jit_context_zero(context, word), *one = gcc_jit_context_one(context, word);
    gcc_jit_block *start = gcc_jit_function_new_block(fib, "start"), *test = gcc_jit_function_new_block(fib, "test");
    gcc_jit_block *body = gcc_jit_function_new_block(fib, "body"), *end = gcc_jit_function_new_block(fib, "end");
    gcc_jit_block_add_assignment(start, NULL, a, zero);
    gcc_jit_block_add_assignment(start, NULL, b, one);
    gcc_jit_block_end_with_jump(start, NULL, test);
    gcc_jit_block_end_with_conditional(
        test, NULL,
        gcc_jit_context_new_comparison(context, NULL, GCC_JIT_COMPARISON_GT, gcc_jit_lvalue_as_rvalue(left), zero),
        body, end);
    gcc_jit_block_add_assignment(body, NULL, sum,
                                 gcc_jit_context_new_binary_op(context, NULL, GCC_JIT_BINARY_OP_PLUS, word,
                                                               gcc_jit_lvalue_as_rvalue(a),
                                                               gcc_jit_lvalue_as_rvalue(b)));
    gcc_jit_block_add_assignment(body, NULL, a, gcc_jit_lvalue_as_rvalue(b));
    gcc_jit_block_add_assignment(body, NULL, b, gcc_jit_lvalue_as_rvalue(sum));
    gcc_jit_block_add_assignment_op(body, NULL, left, GCC_JIT_BINARY_OP_MINUS, one);
    gcc_jit_block_end_with_jump(body, NULL, test);
    gcc_jit_block_end_with_return(end, NULL, gcc_jit_lvalue_as_rvalue(a));
}

/* Called by the cache if it has no code that fits. */
static uint32_t compile(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    const char *path = context;
    gcc_jit_context *gcc = gcc_jit_context_acquire();
    gcc_jit_context_set_int_option(gcc, GCC_JIT_INT_OPTION_OPTIMIZATION_LEVEL, 2);
    describe(gcc);
    /* An object, which the library links. GCC makes it position-independent. */
    gcc_jit_context_compile_to_file(gcc, GCC_JIT_OUTPUT_KIND_OBJECT_FILE, path);
    const int broken = gcc_jit_context_get_first_error(gcc) != NULL;
    gcc_jit_context_release(gcc);
    FILE *file = broken ? NULL : fopen(path, "rb");
    if (!file) return ARTIFACT_IO;
    static uint8_t bytes[1 << 20];
    const artifact_object_t object = {"fib", bytes, fread(bytes, 1, sizeof bytes, file)};
    fclose(file);
    remove(path);
    compiled++;
    return artifact_builder_add_objects(builder, &object, 1, NULL, NULL, error);
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: warm_start FOLDER\n"), 2;
    char object[4096];
    snprintf(object, sizeof object, "%s.o", argv[1]);
    artifact_error_t *error = NULL;
    artifact_cache_t *cache = NULL;
    artifact_t *artifact = NULL;
    artifact_code_t *code = NULL;
    artifact_engine_t *host = artifact_engine_new_host();
    artifact_cache_key_t *key = artifact_cache_key_new();
    if (artifact_cache_key_add(key, "recipe", (const uint8_t *)recipe, sizeof recipe, &error) ||
        artifact_cache_open(argv[1], host, NULL, &cache, &error) ||
        artifact_cache_get_or_make(cache, key, compile, object, &artifact, NULL, &error) ||
        artifact_load(artifact, host, NULL, &code, &error))
        return failed(error);
    union {
        void *address;
        int64_t (*function)(int64_t);
    } fib = {artifact_code_symbol(code, 0, "fib", NULL)};
    printf("fib(40) = %lld, compiled %d\n", (long long)fib.function(40), compiled);
    artifact_code_free(code);
    artifact_free(artifact);
    artifact_cache_free(cache);
    artifact_cache_key_free(key);
    artifact_engine_free(host);
    return 0;
}

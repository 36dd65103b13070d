/* Indirect functions: their resolvers select at load time what they are. */
#include <stddef.h>
#include <string.h>

typedef int function_t(int n);

function_t chosen, use, use_hidden;
function_t *address(void);
function_t *hidden_address(void);
size_t length(const char *text);
unsigned long capabilities(void);

static int one(int n) { return n + 1; }
static int two(int n) { return n + 2; }
/* The loader relocates it, before resolvers run. */
static function_t *const answers[] = {one, two};
static unsigned long seen;

#if defined(__aarch64__)
static function_t *resolve(unsigned long hwcap) {
    seen = hwcap;
    return answers[0];
}
#else
static function_t *resolve(void) {
    seen++;
    return answers[0];
}
#endif

static function_t *resolve_hidden(void) { return answers[1]; }

int chosen(int n) __attribute__((ifunc("resolve")));
static int hidden(int n) __attribute__((ifunc("resolve_hidden")));

/* Before constructors. */
int constructed;
__attribute__((constructor)) static void construct(void) { constructed = chosen(10); }

/* Addresses in data. */
extern function_t *const pointers[];
function_t *const pointers[] = {chosen, hidden};

int use(int n) { return chosen(n); }
int use_hidden(int n) { return hidden(n); }
function_t *address(void) { return chosen; }
function_t *hidden_address(void) { return hidden; }
unsigned long capabilities(void) { return seen; }

/* An indirect function of the host's. */
size_t length(const char *text) { return strlen(text); }

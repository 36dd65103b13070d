/* Uses a thread-local variable of the host, and one that no host defines. With STATIC, by the initial-exec model. */
#include <stddef.h>

#ifdef STATIC
#define MODEL __attribute__((tls_model("initial-exec")))
#else
#define MODEL
#endif

int next_host(void);
int *host_address(void);
int *weak_address(void);

extern MODEL _Thread_local int host_variable;
extern __attribute__((weak)) _Thread_local int nowhere;

int next_host(void) { return ++host_variable; }
int *host_address(void) { return &host_variable; }
int *weak_address(void) { return &nowhere; }

/* A plug-in for plugins.c: a shared object with an undefined symbol that the host provides. */
void host_print(const char *text);
const char *plugin_name(void);
int plugin_run(int n);

const char *plugin_name(void) { return "double"; }

int plugin_run(int n) {
    host_print("hello from the plug-in");
    return 2 * n;
}

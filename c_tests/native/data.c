/* Data over several pages. */
char bytes[4 * 4096] = {1};

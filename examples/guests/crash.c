// Ways to end badly, by name.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int depth;
static int recurse(int n) { depth = n; return n % 7 == 8 ? 0 : recurse(n + 1) + depth; }

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  fprintf(stderr, "about to %s\n", how);
  printf("lost in a buffer");
  if (!strcmp(how, "recurse")) return recurse(0);
  if (!strcmp(how, "loop")) for (;;) depth++;
  if (!strcmp(how, "abort")) abort();
  if (!strcmp(how, "divide")) return depth / (argc - 2);
  if (!strcmp(how, "wild")) return *(volatile int *)0xfffffff0;
  if (!strcmp(how, "wild-write")) return write(1, (void *)0xfffffff0, 64);
  if (!strcmp(how, "call")) return ((int (*)(double))recurse)(1.0);
  if (!strcmp(how, "exit")) exit(7);
  if (!strcmp(how, "_exit")) _exit(300);
  return 0;
}

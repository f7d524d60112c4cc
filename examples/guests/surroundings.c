// What a program sees: arguments, environment, stdin, clock, random numbers; and its exit code.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
  for (int i = 0; i < argc; i++) printf("arg %d: %s\n", i, argv[i]);
  for (char **var = environ; *var; var++) printf("env: %s\n", *var);
  char line[256];
  int lines = 0;
  while (fgets(line, sizeof line, stdin)) printf("line %d: %s", ++lines, line);
  printf("\ntime %lld\n", (long long)time(NULL));
  struct timespec nap = {.tv_sec = 3600};
  printf("nap %d\n", nanosleep(&nap, NULL));
  unsigned char random[12];
  if (getentropy(random, sizeof random)) return 99;
  for (int i = 0; i < 12; i++) printf("%02x", random[i]);
  printf("\n%.17g %.3f %e %a\n", 0.1, -1234.5678, 6.02214076e23, 1.5);
  fprintf(stderr, "bye\n");
  return argc > 1 ? atoi(argv[1]) : 0;
}

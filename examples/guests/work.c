// Memory growth, bulk memory, calls through pointers, floats.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int order(const void *a, const void *b) { return (*(unsigned *)a > *(unsigned *)b) - (*(unsigned *)a < *(unsigned *)b); }

int main(void) {
  unsigned state = 1, count = 100000;
  unsigned *numbers = malloc(count * sizeof *numbers);
  for (unsigned i = 0; i < count; i++) numbers[i] = state = state * 1664525 + 1013904223;
  qsort(numbers, count, sizeof *numbers, order);
  for (unsigned i = 1; i < count; i++) if (numbers[i - 1] > numbers[i]) return 1;
  printf("%u %u\n", numbers[0], numbers[count - 1]);
  size_t total = 0;
  for (int i = 0; i < 64; i++) {
    char *block = malloc(1 << 20);
    if (!block) return 2;
    memset(block, i, 1 << 20);
    memmove(block + 1, block, (1 << 20) - 1);
    total += block[(1 << 20) - 1];
  }
  double x = 0;
  for (int i = 1; i < 1000; i++) x += sin(i) * sqrt(i) / pow(i, 0.3);
  printf("%zu %.9f %f %f\n", total, x, strtod("3.25e2", NULL), (double)NAN);
  return 0;
}

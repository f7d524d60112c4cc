// Finds the longest Collatz sequence that begins below a bound.
#include <stdio.h>
#include <stdlib.h>

static unsigned steps(unsigned long long n) {
    unsigned steps = 0;
    for (; n != 1; steps++) n = n % 2 ? 3 * n + 1 : n / 2;
    return steps;
}

int main(int argc, char **argv) {
    unsigned long long bound = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000, longest = 1;
    for (unsigned long long n = 2; n < bound; n++)
        if (steps(n) >= steps(longest)) longest = n;
    printf("%llu takes %u steps\n", longest, steps(longest));
}

/* Small programs whose inner loops differ in kind: what metering costs is measured on them.
 * kernels <name> <rounds>: prints a checksum. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL __attribute__((noinline)) /* each is compiled by itself */

static uint32_t state = 1;
static uint32_t next(void) { return state = state * 1664525u + 1013904223u; }

/* Tight integer loop, one branch per few operators. */
KERNEL static uint64_t collatz(int rounds) {
    uint64_t steps = 0;
    for (uint64_t start = 1; start < (uint64_t)rounds * 40000; start++)
        for (uint64_t n = start; n != 1; n = n & 1 ? 3 * n + 1 : n >> 1) steps++;
    return steps;
}

/* Strided stores. */
KERNEL static uint64_t sieve(int rounds) {
    enum { SIZE = 1 << 20 };
    static uint8_t composite[SIZE];
    uint64_t primes = 0;
    for (int round = 0; round < rounds * 6; round++) {
        memset(composite, 0, SIZE);
        for (int i = 2; i < SIZE; i++) {
            if (composite[i]) continue;
            primes++;
            for (int k = 2 * i; k < SIZE; k += i) composite[k] = 1;
        }
    }
    return primes;
}

/* Straight-line integer code. */
KERNEL static uint64_t sha256(int rounds) {
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
        0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
        0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
        0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
        0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
        0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}, w[64];
#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
    for (int block = 0; block < rounds * 90000; block++) {
        for (int i = 0; i < 16; i++) w[i] = (uint32_t)(block + i);
        for (int i = 16; i < 64; i++) {
            uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (ROTATE(a, 7) ^ ROTATE(a, 18) ^ a >> 3) + w[i - 7] + (ROTATE(b, 17) ^ ROTATE(b, 19) ^ b >> 10);
        }
        uint32_t s[8];
        memcpy(s, h, sizeof s);
        for (int i = 0; i < 64; i++) {
            uint32_t e = s[4], a = s[0];
            uint32_t t1 = s[7] + (ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
            uint32_t t2 = (ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
            memmove(s + 1, s, 7 * sizeof *s);
            s[4] += t1, s[0] = t1 + t2;
        }
        for (int i = 0; i < 8; i++) h[i] += s[i];
    }
    return h[0];
}

/* Floats in a triple loop. */
KERNEL static uint64_t matrix(int rounds) {
    enum { N = 200 };
    static double a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N * N; i++) a[0][i] = next() % 100, b[0][i] = next() % 100;
    for (int round = 0; round < rounds * 7; round++)
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++)
                for (int j = 0; j < N; j++) c[i][j] += a[i][k] * b[k][j];
    return (uint64_t)c[N / 2][N / 3];
}

/* Floats, divisions and square roots, straight-line. */
KERNEL static uint64_t bodies(int rounds) {
    enum { N = 5 };
    double p[N][3], v[N][3] = {0};
    for (int i = 0; i < N * 3; i++) p[0][i] = next() % 1000 / 100.0;
    for (int step = 0; step < rounds * 160000; step++) {
        for (int i = 0; i < N; i++)
            for (int j = i + 1; j < N; j++) {
                double d[3], r2 = 0.01;
                for (int x = 0; x < 3; x++) d[x] = p[i][x] - p[j][x], r2 += d[x] * d[x];
                double f = 0.0001 / (r2 * sqrt(r2));
                for (int x = 0; x < 3; x++) v[i][x] -= d[x] * f, v[j][x] += d[x] * f;
            }
        for (int i = 0; i < N * 3; i++) p[0][i] += v[0][i] * 0.001;
    }
    return (uint64_t)(p[0][0] * 1e6);
}

/* Calls through a pointer, unpredictable branches. */
static int order(const void *a, const void *b) { return (*(uint32_t *)a > *(uint32_t *)b) - (*(uint32_t *)a < *(uint32_t *)b); }
KERNEL static uint64_t sort(int rounds) {
    enum { N = 200000 };
    static uint32_t numbers[N];
    for (int round = 0; round < rounds * 2; round++) {
        for (int i = 0; i < N; i++) numbers[i] = next();
        qsort(numbers, N, sizeof *numbers, order);
    }
    return numbers[N / 2];
}

/* Small functions that call each other. */
KERNEL static uint32_t fibonacci(uint32_t n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

/* A loop around a switch: an interpreter. */
KERNEL static uint64_t interpreter(int rounds) {
    static const uint8_t code[] = {0, 1, 2, 3, 1, 4, 5, 2, 6, 1, 3, 7};
    uint64_t a = 1, b = 2;
    for (int i = 0; i < rounds * 3600000; i++) {
        switch (code[(a ^ (uint64_t)i) % sizeof code]) {
        case 0: a += b; break;
        case 1: b ^= a; break;
        case 2: a = a << 1 | a >> 63; break;
        case 3: b += 7; break;
        case 4: a ^= b >> 3; break;
        case 5: b *= 3; break;
        case 6: a -= b; break;
        default: b = ~b; break;
        }
    }
    return a ^ b;
}

int main(int argc, char **argv) {
    int rounds = argc > 2 ? atoi(argv[2]) : 1;
    const char *name = argc > 1 ? argv[1] : "";
    uint64_t sum;
    if (!strcmp(name, "collatz")) sum = collatz(rounds);
    else if (!strcmp(name, "sieve")) sum = sieve(rounds);
    else if (!strcmp(name, "sha256")) sum = sha256(rounds);
    else if (!strcmp(name, "matrix")) sum = matrix(rounds);
    else if (!strcmp(name, "bodies")) sum = bodies(rounds);
    else if (!strcmp(name, "sort")) sum = sort(rounds);
    else if (!strcmp(name, "fibonacci")) sum = fibonacci(30 + (uint32_t)rounds);
    else if (!strcmp(name, "interpreter")) sum = interpreter(rounds);
    else return 2;
    printf("%llu\n", (unsigned long long)sum);
    return 0;
}

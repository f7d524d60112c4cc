/* Prices an option by simulation: one task per point of a parameter matrix.
 *
 *     pricing <spot> <strike> <rate> <volatility> <years> <paths> [seed]
 *
 * One line of CSV: the arguments, then price and standard error of a European call, and of an Asian call (on the mean of twelve
 * fixings). Without a seed the task's own is taken (random_get), which is the same wherever the task runs. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIXINGS = 12 };

static uint64_t state[4];

/* splitmix64, to spread a seed over the state. */
static uint64_t spread(uint64_t *seed) {
    uint64_t z = *seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

/* xoshiro256++ */
static uint64_t next(void) {
    uint64_t result = rotate(state[0] + state[3], 23) + state[0], t = state[1] << 17;
    state[2] ^= state[0], state[3] ^= state[1], state[1] ^= state[2], state[0] ^= state[3];
    state[2] ^= t, state[3] = rotate(state[3], 45);
    return result;
}

/* Two independent standard normal numbers (Marsaglia's polar method). */
static void normals(double *a, double *b) {
    double u, v, s;
    do {
        u = (double)(next() >> 11) * 0x1p-52 - 1, v = (double)(next() >> 11) * 0x1p-52 - 1;
        s = u * u + v * v;
    } while (s >= 1 || s == 0);
    double scale = sqrt(-2 * log(s) / s);
    *a = u * scale, *b = v * scale;
}

struct mean { double sum, squares; };

static void add(struct mean *mean, double value) { mean->sum += value, mean->squares += value * value; }
static double value(struct mean mean, double n) { return mean.sum / n; }
static double error(struct mean mean, double n) {
    double variance = mean.squares / n - value(mean, n) * value(mean, n);
    return sqrt((variance > 0 ? variance : 0) / n);
}

int main(int argc, char **argv) {
    if (argc < 7 || argc > 8) {
        fprintf(stderr, "usage: pricing <spot> <strike> <rate> <volatility> <years> <paths> [seed]\n");
        return 2;
    }
    double spot = atof(argv[1]), strike = atof(argv[2]), rate = atof(argv[3]), volatility = atof(argv[4]), years = atof(argv[5]);
    long paths = atol(argv[6]);
    if (!(spot > 0 && strike > 0 && volatility > 0 && years > 0 && paths > 1)) {
        fprintf(stderr, "pricing: spot, strike, volatility and years must be positive, paths at least 2\n");
        return 2;
    }
    uint64_t seed;
    if (argc == 8) seed = strtoull(argv[7], NULL, 10);
    else if (getentropy(&seed, sizeof seed)) return 1;
    for (int i = 0; i < 4; i++) state[i] = spread(&seed);

    double step = years / FIXINGS, drift = (rate - volatility * volatility / 2) * step, spread_by = volatility * sqrt(step);
    double discount = exp(-rate * years);
    struct mean european = {0}, asian = {0};
    for (long path = 0; path < paths; path++) {
        double price = spot, sum = 0;
        for (int i = 0; i < FIXINGS; i += 2) {
            double a, b;
            normals(&a, &b);
            price *= exp(drift + spread_by * a), sum += price;
            price *= exp(drift + spread_by * b), sum += price;
        }
        add(&european, discount * fmax(price - strike, 0));
        add(&asian, discount * fmax(sum / FIXINGS - strike, 0));
    }
    printf("%s,%s,%s,%s,%s,%ld,%.6f,%.6f,%.6f,%.6f\n", argv[1], argv[2], argv[3], argv[4], argv[5], paths, value(european, (double)paths),
           error(european, (double)paths), value(asian, (double)paths), error(asian, (double)paths));
    return 0;
}

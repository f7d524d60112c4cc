// Kernels without imports, one a build: -DKERNEL=name. Built by the Makefile beside.
typedef unsigned int u32;
typedef unsigned long long u64;
volatile u64 sink;

u32 cells[1 << 16]; // visible, or it would be known to be zero
static double a[128 * 128], b[128 * 128], c[128 * 128];

// A tight loop of dependent integer operations.
static void hash(void) {
  u64 h = 0xcbf29ce484222325ull;
  for (u32 i = 0; i < 60000000; i++) h = (h ^ (i & 255)) * 0x100000001b3ull;
  sink = h;
}

// A tight loop with independent operations: the worst case.
static void sum(void) {
  u32 total = 0;
  for (u32 round = 0; round < 1500; round++) {
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < 1 << 16; i++) total += cells[i] ^ i;
  }
  sink = total;
}

static void sieve(void) {
  u32 found = 0;
  for (int round = 0; round < 60; round++) {
    static unsigned char composite[1 << 20];
    for (u32 i = 0; i < sizeof composite; i++) composite[i] = 0;
    for (u32 i = 2; i < sizeof composite; i++) {
      if (composite[i]) continue;
      found++;
      for (u32 j = i * 2; j < sizeof composite; j += i) composite[j] = 1;
    }
  }
  sink = found;
}

static void matrix(void) {
  for (int i = 0; i < 128 * 128; i++) a[i] = i * 0.5, b[i] = i * 0.25;
  for (int round = 0; round < 30; round++)
    for (int i = 0; i < 128; i++)
      for (int j = 0; j < 128; j++) {
        double total = 0;
        for (int k = 0; k < 128; k++) total += a[i * 128 + k] * b[k * 128 + j];
        c[i * 128 + j] = total;
      }
  sink = c[77];
}

static __attribute__((noinline)) u32 fib_of(u32 n) { return n < 2 ? n : fib_of(n - 1) + fib_of(n - 2); }
static void fib(void) { sink = fib_of(35); }

static void sort(void) {
  for (int round = 0; round < 40; round++) {
    u32 state = 1;
    for (u32 i = 0; i < 1 << 16; i++) cells[i] = state = state * 1664525 + 1013904223;
    for (u32 gap = 1 << 15; gap; gap /= 2) {
      for (u32 i = gap; i < 1 << 16; i++) {
        u32 value = cells[i], j = i;
        for (; j >= gap && cells[j - gap] > value; j -= gap) cells[j] = cells[j - gap];
        cells[j] = value;
      }
    }
  }
  sink = cells[99];
}

// Branches and floats, as in rendering.
static void fractal(void) {
  u32 total = 0;
  for (int y = 0; y < 400; y++)
    for (int x = 0; x < 400; x++) {
      double cr = x * 0.0075 - 2, ci = y * 0.005 - 1, zr = 0, zi = 0;
      int n = 0;
      while (n < 200 && zr * zr + zi * zi < 4) {
        double next = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci;
        zr = next;
        n++;
      }
      total += n;
    }
  sink = total;
}

__attribute__((export_name("_start"))) void start(void) { KERNEL(); }

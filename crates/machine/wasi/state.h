// What the polyfill remembers, and how it reaches the host and the program's memory.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define WASI(name) __attribute__((export_name(#name))) u32 name
#define INLINE static inline __attribute__((always_inline))
#define SHARED static __attribute__((noinline)) // one copy, called from many

#define GLOBAL(name) __asm__(".globl " #name "\n.globaltype " #name ", i64\n" #name ":\n")
#define GET(name) ({ u64 value_; __asm__ volatile("global.get " #name "\nlocal.set %0" : "=r"(value_)); value_; })
#define SET(name, value) __asm__ volatile("local.get %0\nglobal.set " #name : : "r"((u64)(value)))

GLOBAL(seed);                                              // the system's: state of random_get
GLOBAL(leaf_0); GLOBAL(leaf_1); GLOBAL(leaf_2); GLOBAL(leaf_3); // the leaf of the input read last
GLOBAL(leaf_at);                                           // its index + 1
GLOBAL(out_0); GLOBAL(out_1); GLOBAL(out_2); GLOBAL(out_3); // the leaf of the output being filled
GLOBAL(out_words);                                         // its words so far
GLOBAL(path_hash); GLOBAL(path_len); GLOBAL(path_word);    // the path being walked
GLOBAL(found_task); GLOBAL(found_shared);                  // what `resolve` found: node + 1 in each half
GLOBAL(missing);                                           // … or how many components weren't found
GLOBAL(parent_hash);                                       // … and the hash of all but the last
GLOBAL(opened);                                            // files opened for output so far

// Tables, a row per line: a file descriptor has `what` (kind u8, flags u16 << 16, value u32 << 32) and
// `at` (position; for folders: node + 1 in the task half, and << 32 in the shared half).
// A created file or folder has the hash of its path (0: free), its size, and `note`
// (kind u8, descriptors u8 << 8, number u32 << 32).
#define EACH4(f, n) f(n##0) f(n##1) f(n##2) f(n##3)
#define EACH8(f, n) EACH4(f, n) f(n##4) f(n##5) f(n##6) f(n##7)
#define EACH64(f) EACH8(f, 00) EACH8(f, 01) EACH8(f, 02) EACH8(f, 03) EACH8(f, 04) EACH8(f, 05) EACH8(f, 06) EACH8(f, 07)
#define ROWS 64

#define DECLARE_WHAT(n) GLOBAL(fd_what_##n);
#define DECLARE_AT(n) GLOBAL(fd_at_##n);
#define DECLARE_HASH(n) GLOBAL(made_hash_##n);
#define DECLARE_SIZE(n) GLOBAL(made_size_##n);
#define DECLARE_NOTE(n) GLOBAL(made_note_##n);
EACH64(DECLARE_WHAT) EACH64(DECLARE_AT) EACH64(DECLARE_HASH) EACH64(DECLARE_SIZE) EACH64(DECLARE_NOTE)

// Octal names are octal numbers: fd_what_017 is row 15.
#define TABLE(table) \
  SHARED u64 get_##table(u32 row) { switch (row) { EACH64(CASE_GET_##table) } return 0; } \
  SHARED void set_##table(u32 row, u64 value) { switch (row) { EACH64(CASE_SET_##table) } }
#define CASE_GET_fd_what(n) case n: return GET(fd_what_##n);
#define CASE_SET_fd_what(n) case n: SET(fd_what_##n, value); return;
#define CASE_GET_fd_at(n) case n: return GET(fd_at_##n);
#define CASE_SET_fd_at(n) case n: SET(fd_at_##n, value); return;
#define CASE_GET_made_hash(n) case n: return GET(made_hash_##n);
#define CASE_SET_made_hash(n) case n: SET(made_hash_##n, value); return;
#define CASE_GET_made_size(n) case n: return GET(made_size_##n);
#define CASE_SET_made_size(n) case n: SET(made_size_##n, value); return;
#define CASE_GET_made_note(n) case n: return GET(made_note_##n);
#define CASE_SET_made_note(n) case n: SET(made_note_##n, value); return;
TABLE(fd_what) TABLE(fd_at) TABLE(made_hash) TABLE(made_size) TABLE(made_note)

// --- The host -----------------------------------------------------------------------------------

__asm__(".functype host_in32 (i32) -> (i64, i64, i64, i64)\n.import_module host_in32, rialto\n.import_name host_in32, in32\n");
__attribute__((import_module("rialto"), import_name("out32"))) void host_out32(u64, u64, u64, u64, u32);
__attribute__((import_module("rialto"), import_name("exit"))) __attribute__((noreturn)) void host_exit(u32);

// --- The program's memory -----------------------------------------------------------------------

typedef u16 __attribute__((aligned(1), may_alias)) u16_any;
typedef u32 __attribute__((aligned(1), may_alias)) u32_any;
typedef u64 __attribute__((aligned(1), may_alias)) u64_any;
INLINE u32 load8(u32 at) { return *(volatile u8 *)at; }
INLINE u32 load16(u32 at) { return *(volatile u16_any *)at; }
INLINE u32 load32(u32 at) { return *(volatile u32_any *)at; }
INLINE u64 load64(u32 at) { return *(volatile u64_any *)at; }
INLINE void store8(u32 at, u32 value) { *(volatile u8 *)at = value; }
INLINE void store16(u32 at, u32 value) { *(volatile u16_any *)at = value; }
INLINE void store32(u32 at, u32 value) { *(volatile u32_any *)at = value; }
INLINE void store64(u32 at, u64 value) { *(volatile u64_any *)at = value; }


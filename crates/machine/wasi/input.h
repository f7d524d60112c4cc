// The input's tree of files: ../src/input/mod.rs has its layout.

// Makes `leaf_0..3` the leaf `index` of the input.
SHARED void load_leaf(u32 index) {
  if (GET(leaf_at) == (u64)index + 1) return;
  u64 a, b, c, d;
  __asm__ volatile("local.get %4\ncall host_in32\nlocal.set %3\nlocal.set %2\nlocal.set %1\nlocal.set %0"
                   : "=r"(a), "=r"(b), "=r"(c), "=r"(d) : "r"(index));
  SET(leaf_0, a); SET(leaf_1, b); SET(leaf_2, c); SET(leaf_3, d);
  SET(leaf_at, (u64)index + 1);
}

// Makes `leaf_0..3` the leaf that holds byte `at` of the half that starts at leaf `half`.
INLINE void load_leaf_of(u32 half, u64 at) { load_leaf(half + ((u32)(at >> 5) & HALF_MASK)); }

// Byte `at & 31` of the leaf.
SHARED u32 leaf_byte(u32 at) {
  u64 word = at & 16 ? (at & 8 ? GET(leaf_3) : GET(leaf_2)) : (at & 8 ? GET(leaf_1) : GET(leaf_0));
  return (u8)(word >> (at & 7) * 8);
}

INLINE u32 input_byte(u32 half, u64 at) {
  load_leaf_of(half, at);
  return leaf_byte(at);
}

// Copies `len` bytes at `at` of a half to the program's memory.
SHARED void copy_input(u32 half, u64 at, u32 to, u32 len) {
  while (len) {
    load_leaf_of(half, at);
    u32 from = at & 31, now = 32 - from;
    if (now > len) now = len;
    if (now == 32) {
      store64(to, GET(leaf_0)); store64(to + 8, GET(leaf_1));
      store64(to + 16, GET(leaf_2)); store64(to + 24, GET(leaf_3));
    } else {
      for (u32 i = 0; i < now; i++) store8(to + i, leaf_byte(from + i));
    }
    at += now; to += now; len -= now;
  }
}

// A node of the input is named by its leaf: the half that it is in, and its index.
INLINE u32 half_of(u32 node) { return node & SHARED_HALF; }
INLINE u32 node_leaf(u32 half, u64 index) { return half | ((NODES + (u32)index) & HALF_MASK); }
INLINE u32 loaded_kind(void) { return (u8)(GET(leaf_0) >> 48); }
INLINE u32 loaded_name_len(void) { return (u16)(GET(leaf_0) >> 32); }
INLINE u32 loaded_name_at(void) { return (u32)GET(leaf_0); }

INLINE u64 node_size(u32 node) { load_leaf(node); return GET(leaf_3); }
INLINE u64 node_data(u32 node) { load_leaf(node); return GET(leaf_2); }

// Root of a half's tree as node + 1; 0 if the half has no tree.
SHARED u32 root(u32 half) {
  load_leaf(half);
  return (u32)GET(leaf_1) ? node_leaf(half, 0) + 1 : 0;
}

// A name is `len` bytes at `at` of a half of the input, or of the program's memory if the half is MEMORY.
#define MEMORY 1
INLINE u32 name_byte(u32 half, u32 at) { return half == MEMORY ? load8(at) : input_byte(half, at); }

// Compares a node's name with another name: below, at or above zero, as memcmp does.
INLINE int compare_name(u32 node, u32 name_half, u32 name, u32 len) {
  load_leaf(node);
  u32 half = half_of(node), node_len = loaded_name_len(), at = loaded_name_at();
  for (u32 i = 0; i < node_len && i < len; i++) {
    int differ = (int)input_byte(half, at + i) - (int)name_byte(name_half, name + i);
    if (differ) return differ;
  }
  return (int)node_len - (int)len;
}

// Finds a child of a folder (node + 1; 0 for none) by its name, by bisection.
SHARED u32 child(u32 folder, u32 name_half, u32 name, u32 len) {
  if (!folder) return 0;
  load_leaf(folder - 1);
  if (loaded_kind() != NODE_FOLDER) return 0;
  u32 half = half_of(folder - 1);
  u64 first = GET(leaf_2), below = 0, above = GET(leaf_3);
  while (below < above) {
    u64 middle = below + (above - below) / 2;
    u32 node = node_leaf(half, first + middle);
    int order = compare_name(node, name_half, name, len);
    if (!order) return node + 1;
    if (order < 0) below = middle + 1; else above = middle;
  }
  return 0;
}

SHARED u32 node_kind(u32 node_and_one) {
  if (!node_and_one) return 0;
  load_leaf(node_and_one - 1);
  return loaded_kind();
}


// Paths, and what they name: nodes of the input, or files and folders that the program created.

#define FNV_START 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

// A path is taken component by component in normal form: empty and `.` components are skipped, and `..` takes back the
// component before it. There is nowhere to write the normal form down, so each component looks ahead for what takes it back.

INLINE u32 component_end(u32 at, u32 end) {
  while (at < end && load8(at) != '/') at++;
  return at;
}

enum { NAME, SKIP, UP };
INLINE u32 component_kind(u32 at, u32 end) {
  u32 len = end - at;
  if (len == 0 || (len == 1 && load8(at) == '.')) return SKIP;
  return len == 2 && load8(at) == '.' && load8(at + 1) == '.' ? UP : NAME;
}

// Whether a later `..` takes back the component before `at`.
INLINE u32 taken_back(u32 at, u32 end) {
  for (u32 depth = 1; at < end;) {
    u32 stop = component_end(++at, end), kind = component_kind(at, stop);
    if (kind == NAME) depth++;
    if (kind == UP && --depth == 0) return 1;
    at = stop;
  }
  return 0;
}

// Start of the next component in normal form at or after `at`, or `end`.
SHARED u32 next_component(u32 at, u32 end) {
  while (at < end) {
    u32 stop = component_end(at, end);
    if (component_kind(at, stop) == NAME && !taken_back(stop, end)) return at;
    at = stop + 1;
  }
  return end;
}

// Bounds first; a path that climbs out of its folder is refused.
SHARED u32 check_path(u32 at, u32 len) {
  if (len > MAX_PATH) return ENAMETOOLONG;
  if (at + len < at) return EINVAL;
  u32 end = at + len, depth = 0;
  for (u32 i = at; i < end; i++) {
    if (load8(i) < ' ' || load8(i) == 0x7f || load8(i) == '\\') return EINVAL;
  }
  for (; at < end; at++) {
    u32 stop = component_end(at, end), kind = component_kind(at, stop);
    if (kind == NAME && stop - at > MAX_COMPONENT) return ENAMETOOLONG;
    if (kind == NAME) depth++;
    if (kind == UP && depth-- == 0) return ENOTCAPABLE;
    at = stop;
  }
  return OK;
}

// Takes a byte of the path into its hash and length, and into the output if `out`.
INLINE void path_byte(u32 byte, u32 out) {
  u32 len = GET(path_len);
  SET(path_hash, (GET(path_hash) ^ byte) * FNV_PRIME);
  if (out) {
    u64 word = GET(path_word) | (u64)byte << (len & 7) * 8;
    if ((len & 7) == 7) { emit(word); word = 0; }
    SET(path_word, word);
  }
  SET(path_len, len + 1);
}

// Takes the path of a folder of the input, root first, with a `/` behind each name.
SHARED void walk_folder(u32 folder, u32 out) {
  u32 half = half_of(folder), depth = 0;
  for (u32 node = folder; node != node_leaf(half, 0); depth++) {
    load_leaf(node);
    node = node_leaf(half, (u32)GET(leaf_1));
  }
  for (; depth; depth--) {
    u32 node = folder;
    for (u32 up = 1; up < depth; up++) {
      load_leaf(node);
      node = node_leaf(half, (u32)GET(leaf_1));
    }
    load_leaf(node);
    u32 at = loaded_name_at(), len = loaded_name_len();
    for (u32 i = 0; i < len; i++) path_byte(input_byte(half, at + i), out);
    path_byte('/', out);
  }
}

// Takes the whole normal path from the root of what `path` names in the folder `fd`; its words go out if `out`.
SHARED void walk_path(u32 fd, u32 path, u32 len, u32 out) {
  u32 end = path + len;
  SET(path_hash, FNV_START); SET(path_len, 0); SET(path_word, 0); SET(parent_hash, FNV_START);
  u64 folder = get_fd_at(fd);
  if ((u32)folder) walk_folder((u32)folder - 1, out);
  else if (folder >> 32) walk_folder((u32)(folder >> 32) - 1, out);
  for (u32 at = next_component(path, end); at < end;) {
    u32 stop = component_end(at, end);
    for (; at < stop; at++) path_byte(load8(at), out);
    at = next_component(stop, end);
    if (at < end) {
      SET(parent_hash, GET(path_hash));
      path_byte('/', out);
    }
  }
  if (out && (GET(path_len) & 7)) emit(GET(path_word));
}

// Looks a path up in the input, from the folder `fd`: `found_task`, `found_shared`, or how many components are `missing`.
// A file of the task hides what the shared half has there; folders of both halves are one folder.
SHARED u32 resolve(u32 fd, u32 path, u32 len) {
  u32 kind = fd_kind(fd);
  if (kind == CLOSED) return EBADF;
  if (kind != FOLDER) return ENOTDIR;
  u32 error = check_path(path, len);
  if (error) return error;
  u32 end = path + len, absent = 0;
  u64 folder = get_fd_at(fd);
  u32 task = (u32)folder, shared = folder >> 32;
  for (u32 at = next_component(path, end); at < end;) {
    u32 stop = component_end(at, end);
    if (!absent && (node_kind(task) == NODE_FILE || node_kind(shared) == NODE_FILE)) return ENOTDIR;
    task = absent ? 0 : child(task, MEMORY, at, stop - at);
    shared = absent ? 0 : child(shared, MEMORY, at, stop - at);
    if (node_kind(task) == NODE_FILE) shared = 0;
    if (node_kind(task) == NODE_FOLDER && node_kind(shared) == NODE_FILE) shared = 0;
    if (!task && !shared) absent++;
    at = next_component(stop, end);
  }
  SET(found_task, task); SET(found_shared, shared); SET(missing, absent);
  return OK;
}

INLINE u32 is_found(void) { return GET(missing) == 0; }
// What was found, as a file; 0 if it is a folder.
INLINE u32 found_file(void) {
  u32 task = GET(found_task), shared = GET(found_shared);
  if (node_kind(task) == NODE_FILE) return task;
  return node_kind(shared) == NODE_FILE && !task ? shared : 0;
}

// --- Created files and folders

INLINE u32 made_kind(u32 row) { return (u8)get_made_note(row); }
INLINE u32 made_users(u32 row) { return (u8)(get_made_note(row) >> 8); }
INLINE u32 made_number(u32 row) { return get_made_note(row) >> 32; }
INLINE u64 made_pack(u32 kind, u32 users, u32 number) { return kind | users << 8 | (u64)number << 32; }
SHARED void made_use(u32 row, int change) {
  set_made_note(row, made_pack(made_kind(row), made_users(row) + change, made_number(row)));
}

// Row of the created thing with this path's hash, or ROWS.
SHARED u32 find_made(u64 hash) {
  for (u32 row = 0; row < ROWS; row++) {
    if (get_made_hash(row) == hash && made_kind(row)) return row;
  }
  return ROWS;
}

// A free row, or that of a file which no descriptor uses: it is forgotten, but stays in the output.
SHARED u32 free_made(void) {
  for (u32 row = 0; row < ROWS; row++) if (!made_kind(row)) return row;
  for (u32 row = 0; row < ROWS; row++) if (made_kind(row) == NODE_FILE && !made_users(row)) return row;
  return ROWS;
}

// Whether something can be created at the path that `resolve` missed and `walk_path` took: its folder is there.
SHARED u32 check_parent(void) {
  if (GET(missing) == 1) return OK;
  u32 row = find_made(GET(parent_hash));
  if (row == ROWS) return ENOENT;
  return made_kind(row) == NODE_FOLDER ? OK : ENOTDIR;
}

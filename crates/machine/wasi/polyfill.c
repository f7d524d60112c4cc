// WASI preview 1 inside the program: see ../src/wasi.rs and README.md.
//
// Compiled to functions without memory, stack or data of their own: they read and write the memory of the program that
// they are linked into, and keep their state in globals (state.h). Pointers come from the program: one that
// lies outside its memory traps, the same everywhere; one that lies inside reaches only what is the program's anyway.

#include "state.h"
#include "abi.h"
#include "input.h"
#include "output.h"
#include "paths.h"

#define WASI(name) __attribute__((export_name(#name))) u32 name

// --- Descriptors

__attribute__((export_name("rialto_init"))) void rialto_init(void) {
  set_fd_what(0, fd_pack(STDIN, 0, 0));
  set_fd_what(1, fd_pack(STDOUT, FD_APPEND, 0));
  set_fd_what(2, fd_pack(STDERR, FD_APPEND, 0));
  set_fd_what(3, fd_pack(FOLDER, 0, 0));
  set_fd_at(3, root(0) | (u64)root(SHARED_HALF) << 32);
}

SHARED u32 free_fd(void) {
  for (u32 fd = 0; fd < ROWS; fd++) if (!fd_kind(fd)) return fd;
  return ROWS;
}

SHARED void close(u32 fd) {
  if (fd_kind(fd) == OUTPUT) {
    u32 row = fd_value(fd);
    made_use(row, -1);
    if (!get_made_hash(row) && !made_users(row)) set_made_note(row, 0); // its name went before it
  }
  set_fd_what(fd, 0);
}

WASI(fd_close)(u32 fd) {
  if (!fd_kind(fd)) return EBADF;
  close(fd);
  return OK;
}

WASI(fd_renumber)(u32 from, u32 to) {
  if (!fd_kind(from) || !fd_kind(to)) return EBADF;
  if (from == to) return OK;
  close(to);
  set_fd_what(to, get_fd_what(from));
  set_fd_at(to, get_fd_at(from));
  set_fd_what(from, 0);
  return OK;
}

WASI(fd_fdstat_get)(u32 fd, u32 to) {
  u32 kind = fd_kind(fd);
  if (!kind) return EBADF;
  u32 stream = kind <= STDERR;
  store8(to, kind == FOLDER ? TYPE_FOLDER : stream ? TYPE_UNKNOWN : TYPE_FILE);
  store8(to + 1, 0);
  store16(to + 2, fd_flags(fd));
  store32(to + 4, 0);
  store64(to + 8, stream ? RIGHTS_STREAM : RIGHTS_ALL);
  store64(to + 16, RIGHTS_ALL);
  return OK;
}

WASI(fd_fdstat_set_flags)(u32 fd, u32 flags) {
  if (!fd_kind(fd)) return EBADF;
  set_fd_what(fd, fd_pack(fd_kind(fd), flags, fd_value(fd)));
  return OK;
}

INLINE u32 is_open(u32 fd) { return fd_kind(fd) ? OK : EBADF; }
WASI(fd_fdstat_set_rights)(u32 fd, u64 base, u64 inheriting) { (void)base; (void)inheriting; return is_open(fd); }
WASI(fd_filestat_set_times)(u32 fd, u64 atim, u64 mtim, u32 flags) { (void)atim; (void)mtim; (void)flags; return is_open(fd); }
WASI(fd_advise)(u32 fd, u64 at, u64 len, u32 advice) { (void)at; (void)len; (void)advice; return is_open(fd); }
WASI(fd_allocate)(u32 fd, u64 at, u64 len) { (void)at; (void)len; return fd_kind(fd) ? ENOTSUP : EBADF; }
WASI(fd_sync)(u32 fd) { return is_open(fd); }
WASI(fd_datasync)(u32 fd) { return is_open(fd); }

WASI(fd_prestat_get)(u32 fd, u32 to) {
  if (fd != 3 || fd_kind(fd) != FOLDER) return EBADF;
  store32(to, 0);
  store32(to + 4, 1);
  return OK;
}

WASI(fd_prestat_dir_name)(u32 fd, u32 to, u32 len) {
  if (fd != 3 || fd_kind(fd) != FOLDER) return EBADF;
  if (len < 1) return ENAMETOOLONG;
  store8(to, '/');
  return OK;
}

SHARED u32 store_stat(u32 to, u64 ino, u32 type, u64 size) {
  store64(to, 1);
  store64(to + 8, ino);
  store64(to + 16, type);
  store64(to + 24, 1);
  store64(to + 32, size);
  store64(to + 40, NOW);
  store64(to + 48, NOW);
  store64(to + 56, NOW);
  return OK;
}

// Inode numbers: nodes of the input are numbered by their leaf, created files by their row.
#define INO_FOLDER(at) ((u32)(at) ? (u32)(at) : (at) ? (at) >> 32 : 1)
#define INO_MADE(row) ((u64)(row) + (1ull << 32))

WASI(fd_filestat_get)(u32 fd, u32 to) {
  switch (fd_kind(fd)) {
    case CLOSED: return EBADF;
    case FOLDER: return store_stat(to, INO_FOLDER(get_fd_at(fd)), TYPE_FOLDER, 0);
    case INPUT: return store_stat(to, (u64)fd_value(fd) + 1, TYPE_FILE, node_size(fd_value(fd)));
    case OUTPUT: return store_stat(to, INO_MADE(fd_value(fd)), TYPE_FILE, get_made_size(fd_value(fd)));
    default: return store_stat(to, 0, TYPE_UNKNOWN, 0);
  }
}

WASI(fd_filestat_set_size)(u32 fd, u64 size) {
  if (!fd_kind(fd)) return EBADF;
  if (fd_kind(fd) != OUTPUT) return EINVAL;
  u32 row = fd_value(fd);
  if (size > get_made_size(row)) return ENOTSUP;
  emit_header(REC_TRUNCATE, made_number(row), 0);
  emit(size);
  set_made_size(row, size);
  return OK;
}

// --- Reading and writing

// Reads into buffers from byte `at` of a stream or file of the input: `size` bytes at `data` of a half.
SHARED u32 read_into(u32 half, u64 data, u64 size, u64 at, u32 iovs, u32 count) {
  u32 total = 0;
  for (; count && at < size; count--, iovs += 8) {
    u64 left = size - at;
    u32 len = load32(iovs + 4);
    if (len > left) len = left;
    if (len > MAX_WRITE - total) len = MAX_WRITE - total;
    copy_input(half, data + at, load32(iovs), len);
    at += len;
    total += len;
  }
  return total;
}

SHARED u32 read_at(u32 fd, u32 iovs, u32 count, u64 at, u32 done) {
  switch (fd_kind(fd)) {
    case CLOSED: return EBADF;
    case FOLDER: return EISDIR;
    case OUTPUT: return ENOTSUP; // what a program writes, it can't read back
    case STDIN: {
      load_leaf(2);
      u64 data = GET(leaf_0), size = GET(leaf_1);
      store32(done, read_into(0, data, size, at, iovs, count));
      return OK;
    }
    case INPUT: {
      u32 node = fd_value(fd);
      u64 data = node_data(node), size = node_size(node);
      store32(done, read_into(half_of(node), data, size, at, iovs, count));
      return OK;
    }
    default: return EBADF;
  }
}

WASI(fd_read)(u32 fd, u32 iovs, u32 count, u32 done) {
  if (fd >= ROWS) return EBADF;
  u64 at = get_fd_at(fd);
  u32 error = read_at(fd, iovs, count, at, done);
  if (!error) set_fd_at(fd, at + load32(done));
  return error;
}

WASI(fd_pread)(u32 fd, u32 iovs, u32 count, u64 at, u32 done) {
  return fd_kind(fd) == STDIN ? ESPIPE : read_at(fd, iovs, count, at, done);
}

// Bytes of all buffers, or a number above MAX_WRITE.
SHARED u64 total_of(u32 iovs, u32 count) {
  u64 total = 0;
  for (; count && total <= MAX_WRITE; count--, iovs += 8) total += load32(iovs + 4);
  return total;
}

SHARED u32 write_at(u32 fd, u32 iovs, u32 count, u64 at, u32 done) {
  u32 kind = fd_kind(fd);
  u64 total = total_of(iovs, count);
  if (total > MAX_WRITE) return EINVAL;
  switch (kind) {
    case STDOUT: case STDERR:
      if (!total) break;
      emit_header(kind == STDOUT ? REC_STDOUT : REC_STDERR, 0, total);
      emit_buffers(iovs, count);
      if (kind == STDERR) emit_pads(); // a message survives the trap that may follow it
      break;
    case OUTPUT: {
      u32 row = fd_value(fd), append = fd_flags(fd) & FD_APPEND;
      u64 size = get_made_size(row);
      if (append) at = size;
      if (at > size) return EINVAL; // files have no holes
      if (!total) break;
      emit_header(REC_WRITE, made_number(row), total);
      emit(append ? ~0ull : at);
      emit_buffers(iovs, count);
      if (at + total > size) set_made_size(row, at + total);
      break;
    }
    case FOLDER: return EISDIR;
    case INPUT: return EROFS;
    default: return EBADF;
  }
  store32(done, total);
  return OK;
}

WASI(fd_write)(u32 fd, u32 iovs, u32 count, u32 done) {
  if (fd >= ROWS) return EBADF;
  u32 error = write_at(fd, iovs, count, get_fd_at(fd), done);
  if (error || fd_kind(fd) != OUTPUT) return error;
  u64 from = fd_flags(fd) & FD_APPEND ? get_made_size(fd_value(fd)) - load32(done) : get_fd_at(fd);
  set_fd_at(fd, from + load32(done));
  return OK;
}

WASI(fd_pwrite)(u32 fd, u32 iovs, u32 count, u64 at, u32 done) {
  return fd_kind(fd) == STDOUT || fd_kind(fd) == STDERR ? ESPIPE : write_at(fd, iovs, count, at, done);
}

WASI(fd_seek)(u32 fd, i64 delta, u32 whence, u32 to) {
  u32 kind = fd_kind(fd);
  if (!kind) return EBADF;
  if (kind == FOLDER) return EISDIR;
  if (kind != INPUT && kind != OUTPUT) return ESPIPE;
  if (whence > 2) return EINVAL;
  u64 size = kind == INPUT ? node_size(fd_value(fd)) : get_made_size(fd_value(fd));
  i64 base = whence == 0 ? 0 : whence == 1 ? get_fd_at(fd) : size, at;
  if (__builtin_add_overflow(base, delta, &at) || at < 0) return EINVAL;
  set_fd_at(fd, at);
  store64(to, at);
  return OK;
}

WASI(fd_tell)(u32 fd, u32 to) {
  u32 kind = fd_kind(fd);
  if (!kind) return EBADF;
  if (kind != INPUT && kind != OUTPUT) return ESPIPE;
  store64(to, get_fd_at(fd));
  return OK;
}

// --- Folders

// Writes the bytes of an entry that fit, and says how many of the buffer are used then.
INLINE u32 put(u32 to, u32 len, u32 used, u64 bytes, u32 count) {
  for (; count && used < len; count--, bytes >>= 8) store8(to + used++, (u8)bytes);
  return used;
}

WASI(fd_readdir)(u32 fd, u32 to, u32 len, u64 cookie, u32 done) {
  if (!fd_kind(fd)) return EBADF;
  if (fd_kind(fd) != FOLDER) return ENOTDIR;
  u32 used = 0, task = get_fd_at(fd), shared = get_fd_at(fd) >> 32;
  u64 task_first = 0, task_count = 0, shared_first = 0, shared_count = 0;
  if (task) { load_leaf(task - 1); task_first = GET(leaf_2); task_count = GET(leaf_3); }
  if (shared) { load_leaf(shared - 1); shared_first = GET(leaf_2); shared_count = GET(leaf_3); }
  // Entries: `.`, `..`, the task's, then the shared ones that no name of the task hides.
  for (; used < len && cookie < 2 + task_count + shared_count; cookie++) {
    u32 node = 0, name_len = cookie + 1, name_at = 0, type = TYPE_FOLDER;
    if (cookie >= 2) {
      u64 i = cookie - 2;
      node = i < task_count ? node_leaf(0, task_first + i) : node_leaf(SHARED_HALF, shared_first + i - task_count);
      load_leaf(node);
      name_at = loaded_name_at();
      name_len = loaded_name_len();
      if (loaded_kind() == NODE_FILE) type = TYPE_FILE;
      if (half_of(node) && child(task, SHARED_HALF, name_at, name_len)) continue;
    }
    used = put(to, len, used, cookie + 1, 8);
    used = put(to, len, used, (u64)node + 1, 8);
    used = put(to, len, used, name_len, 4);
    used = put(to, len, used, type, 4);
    for (u32 i = 0; i < name_len && used < len; i++) {
      store8(to + used++, cookie < 2 ? '.' : input_byte(half_of(node), name_at + i));
    }
  }
  store32(done, used);
  return OK;
}

WASI(path_filestat_get)(u32 fd, u32 flags, u32 path, u32 len, u32 to) {
  (void)flags;
  u32 error = resolve(fd, path, len);
  if (error) return error;
  if (is_found()) {
    u32 file = found_file();
    if (file) return store_stat(to, file, TYPE_FILE, node_size(file - 1));
    return store_stat(to, INO_FOLDER(GET(found_task) | GET(found_shared) << 32), TYPE_FOLDER, 0);
  }
  walk_path(fd, path, len, 0);
  u32 row = find_made(GET(path_hash));
  if (row == ROWS) return ENOENT;
  return store_stat(to, INO_MADE(row), made_kind(row) == NODE_FOLDER ? TYPE_FOLDER : TYPE_FILE, get_made_size(row));
}

// Takes descriptor `fd` for `what` and tells the program.
INLINE u32 open_as(u32 fd, u64 what, u64 at, u32 to) {
  set_fd_what(fd, what);
  set_fd_at(fd, at);
  store32(to, fd);
  return OK;
}

// Opens for output the path that the input doesn't have.
INLINE u32 open_made(u32 new_fd, u32 fd, u32 path, u32 len, u32 oflags, u32 write, u32 fdflags, u32 to) {
  walk_path(fd, path, len, 0);
  u32 row = find_made(GET(path_hash));
  if (row < ROWS) {
    if (oflags & O_CREAT && oflags & O_EXCL) return EEXIST;
    if (made_kind(row) == NODE_FOLDER) return write || oflags & (O_CREAT | O_TRUNC) ? EISDIR : ENOTSUP;
    if (oflags & O_DIRECTORY) return ENOTDIR;
    if (!write) return ENOTSUP; // what a program writes, it can't read back
    if (oflags & O_TRUNC && get_made_size(row)) {
      emit_header(REC_TRUNCATE, made_number(row), 0);
      emit(0);
      set_made_size(row, 0);
    }
  } else {
    if (!(oflags & O_CREAT)) return ENOENT;
    u32 error = check_parent();
    if (error) return error;
    if (GET(path_len) > MAX_PATH) return ENAMETOOLONG;
    row = free_made();
    u32 number = GET(opened);
    if (row == ROWS || number >> 24) return ENOSPC;
    SET(opened, number + 1);
    set_made_hash(row, GET(path_hash));
    set_made_size(row, 0);
    set_made_note(row, made_pack(NODE_FILE, 0, number));
    // A file whose row was taken is attached to again, unless it is to be emptied.
    emit_header(oflags & O_TRUNC ? REC_CREATE : REC_ATTACH, number, GET(path_len));
    walk_path(fd, path, len, 1);
  }
  made_use(row, 1);
  return open_as(new_fd, fd_pack(OUTPUT, fdflags, row), 0, to);
}

WASI(path_open)(u32 fd, u32 dirflags, u32 path, u32 len, u32 oflags, u64 base, u64 inheriting, u32 fdflags, u32 to) {
  (void)dirflags; (void)inheriting;
  u32 error = resolve(fd, path, len), write = (base & RIGHT_WRITE) != 0;
  if (error) return error;
  if (oflags & O_CREAT && oflags & O_DIRECTORY) return EINVAL;
  u32 new_fd = free_fd();
  if (new_fd == ROWS) return EMFILE;
  if (!is_found()) return open_made(new_fd, fd, path, len, oflags, write, fdflags, to);
  if (oflags & O_CREAT && oflags & O_EXCL) return EEXIST;
  u32 file = found_file();
  if (!file) {
    if (oflags & (O_CREAT | O_TRUNC) || (write && !(oflags & O_DIRECTORY))) return EISDIR;
    return open_as(new_fd, fd_pack(FOLDER, fdflags, 0), GET(found_task) | GET(found_shared) << 32, to);
  }
  if (oflags & O_DIRECTORY) return ENOTDIR;
  if (write || oflags & O_TRUNC) return EROFS;
  return open_as(new_fd, fd_pack(INPUT, fdflags, file - 1), 0, to);
}

WASI(path_create_directory)(u32 fd, u32 path, u32 len) {
  u32 error = resolve(fd, path, len);
  if (error) return error;
  if (is_found()) return EEXIST;
  walk_path(fd, path, len, 0);
  if (find_made(GET(path_hash)) < ROWS) return EEXIST;
  error = check_parent();
  if (error) return error;
  u32 row = free_made();
  if (row == ROWS) return ENOSPC;
  set_made_hash(row, GET(path_hash));
  set_made_size(row, 0);
  set_made_note(row, made_pack(NODE_FOLDER, 0, 0));
  return OK;
}

// The created thing that a path names: its row in `found_task`.
SHARED u32 resolve_made(u32 fd, u32 path, u32 len) {
  u32 error = resolve(fd, path, len);
  if (error) return error;
  if (is_found()) return EROFS;
  walk_path(fd, path, len, 0);
  u32 row = find_made(GET(path_hash));
  SET(found_task, row);
  return row < ROWS ? OK : ENOENT;
}

// Takes a created file's name away; descriptors keep it.
SHARED void forget(u32 row) {
  set_made_hash(row, 0);
  if (!made_users(row)) set_made_note(row, 0);
}

WASI(path_unlink_file)(u32 fd, u32 path, u32 len) {
  u32 error = resolve_made(fd, path, len), row = GET(found_task);
  if (error) return error;
  if (made_kind(row) == NODE_FOLDER) return EISDIR;
  emit_header(REC_UNLINK, 0, GET(path_len));
  walk_path(fd, path, len, 1);
  forget(row);
  return OK;
}

// Created folders are only names: one is gone even if it has files, which stay in the output.
WASI(path_remove_directory)(u32 fd, u32 path, u32 len) {
  u32 error = resolve_made(fd, path, len), row = GET(found_task);
  if (error) return error;
  if (made_kind(row) != NODE_FOLDER) return ENOTDIR;
  forget(row);
  return OK;
}

WASI(path_rename)(u32 fd, u32 path, u32 len, u32 new_fd, u32 new_path, u32 new_len) {
  u32 error = resolve_made(fd, path, len), row = GET(found_task), whole = GET(path_len);
  if (error) return error;
  if (made_kind(row) != NODE_FILE) return ENOTSUP;
  error = resolve(new_fd, new_path, new_len);
  if (error) return error;
  if (is_found()) return EROFS;
  walk_path(new_fd, new_path, new_len, 0);
  error = check_parent();
  if (error) return error;
  u64 hash = GET(path_hash), new_whole = GET(path_len);
  if (new_whole > MAX_PATH) return ENAMETOOLONG;
  u32 old = find_made(hash);
  if (old == row) return OK;
  if (old < ROWS && made_kind(old) == NODE_FOLDER) return EISDIR;
  emit_header(REC_RENAME, 0, whole);
  emit(new_whole);
  walk_path(fd, path, len, 1);
  walk_path(new_fd, new_path, new_len, 1);
  if (old < ROWS) forget(old);
  set_made_hash(row, hash);
  return OK;
}

WASI(path_filestat_set_times)(u32 fd, u32 flags, u32 path, u32 len, u64 atim, u64 mtim, u32 which) {
  (void)flags; (void)atim; (void)mtim; (void)which;
  return resolve_made(fd, path, len); // time stands still: accepted, without effect
}

WASI(path_readlink)(u32 fd, u32 path, u32 len, u32 to, u32 size, u32 done) {
  (void)to; (void)size; (void)done;
  u32 error = resolve_made(fd, path, len);
  return !error || error == EROFS ? EINVAL : error; // nothing is a link
}

WASI(path_link)(u32 fd, u32 flags, u32 path, u32 len, u32 new_fd, u32 new_path, u32 new_len) {
  (void)fd; (void)flags; (void)path; (void)len; (void)new_fd; (void)new_path; (void)new_len;
  return ENOTSUP;
}

WASI(path_symlink)(u32 path, u32 len, u32 fd, u32 new_path, u32 new_len) {
  (void)path; (void)len; (void)fd; (void)new_path; (void)new_len;
  return ENOTSUP;
}

// --- The program's surroundings

WASI(args_sizes_get)(u32 count, u32 size) {
  load_leaf(1);
  u64 argv = GET(leaf_0);
  store32(count, (u32)argv);
  store32(size, argv >> 32);
  return OK;
}

WASI(environ_sizes_get)(u32 count, u32 size) {
  load_leaf(1);
  u64 env = GET(leaf_1);
  store32(count, (u32)env);
  store32(size, env >> 32);
  return OK;
}

// Copies NUL-terminated strings from the task half and points at each.
SHARED u32 copy_strings(u64 count_and_size, u32 from, u32 pointers, u32 to) {
  copy_input(0, from, to, count_and_size >> 32);
  for (u32 count = count_and_size; count; count--, pointers += 4) {
    store32(pointers, to);
    while (load8(to++)) {}
  }
  return OK;
}

WASI(args_get)(u32 pointers, u32 to) {
  load_leaf(1);
  return copy_strings(GET(leaf_0), GET(leaf_2), pointers, to);
}

WASI(environ_get)(u32 pointers, u32 to) {
  load_leaf(1);
  return copy_strings(GET(leaf_1), GET(leaf_2) >> 32, pointers, to);
}

WASI(clock_res_get)(u32 id, u32 to) {
  if (id > 3) return EINVAL;
  store64(to, 1);
  return OK;
}

WASI(clock_time_get)(u32 id, u64 precision, u32 to) {
  (void)precision;
  if (id > 3) return EINVAL;
  store64(to, NOW);
  return OK;
}

// Everything is ready at once, and no time passes while waiting.
WASI(poll_oneoff)(u32 in, u32 out, u32 count, u32 done) {
  if (!count) return EINVAL;
  store32(done, count);
  for (; count; count--, in += 48, out += 32) {
    u32 type = load8(in + 8), kind = fd_kind(load32(in + 16));
    u64 user = load64(in);
    store64(out, user);
    store64(out + 8, (type == 0 || kind ? OK : EBADF) | (u64)type << 16);
    store64(out + 16, type ? 1 : 0);
    store64(out + 24, 0);
  }
  return OK;
}

// splitmix64 over the task's seed.
WASI(random_get)(u32 to, u32 len) {
  while (len) {
    u64 state = GET(seed) + 0x9e3779b97f4a7c15ull, word = state;
    SET(seed, state);
    word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9ull;
    word = (word ^ word >> 27) * 0x94d049bb133111ebull;
    word ^= word >> 31;
    if (len >= 8) {
      store64(to, word);
      to += 8; len -= 8;
    } else {
      for (; len; len--, word >>= 8) store8(to++, (u8)word);
    }
  }
  return OK;
}

WASI(sched_yield)(void) { return OK; }

__attribute__((export_name("proc_exit"), noreturn)) void proc_exit(u32 code) {
  rialto_flush();
  host_exit(code);
}

WASI(proc_raise)(u32 signal) { (void)signal; return ENOTSUP; }

// --- Sockets: none

WASI(sock_accept)(u32 fd, u32 flags, u32 to) { (void)fd; (void)flags; (void)to; return ENOTSUP; }
WASI(sock_recv)(u32 fd, u32 iovs, u32 count, u32 flags, u32 done, u32 out) {
  (void)fd; (void)iovs; (void)count; (void)flags; (void)done; (void)out;
  return ENOTSUP;
}
WASI(sock_send)(u32 fd, u32 iovs, u32 count, u32 flags, u32 done) {
  (void)fd; (void)iovs; (void)count; (void)flags; (void)done;
  return ENOTSUP;
}
WASI(sock_shutdown)(u32 fd, u32 how) { (void)fd; (void)how; return ENOTSUP; }

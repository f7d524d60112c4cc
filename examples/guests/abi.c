// Corners of WASI that libraries seldom reach, called directly. Prints the first thing that is not as it should be.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

#define IS(what, expected) do { int got_ = (what); if (got_ != (expected)) { printf("line %d: %s is %d\n", __LINE__, #what, got_); exit(1); } } while (0)

static __wasi_errno_t opened(int folder, const char *path, int oflags, uint64_t rights, __wasi_fd_t *fd) {
  return __wasi_path_open(folder, 0, path, oflags, rights, 0, 0, fd);
}

static void reading(void) {
  __wasi_fd_t fd, other;
  __wasi_size_t done;
  uint64_t at;
  static uint8_t whole[20000], part[200];
  IS(opened(3, "data/big.bin", 0, __WASI_RIGHTS_FD_READ, &fd), 0);
  IS(fd, 4);
  __wasi_iovec_t all = {whole, sizeof whole};
  IS(__wasi_fd_read(fd, &all, 1, &done), 0);
  IS(done, 10001);
  for (uint64_t from = 0; from < 70; from++) {
    for (size_t len = 0; len < 100; len += 7) {
      __wasi_iovec_t parts[3] = {{part, len / 3}, {part + len / 3, 0}, {part + len / 3, len - len / 3}};
      IS(__wasi_fd_pread(fd, parts, 3, from, &done), 0);
      IS(done, len);
      IS(memcmp(part, whole + from, len), 0);
    }
  }
  all.buf_len = 10;
  IS(__wasi_fd_pread(fd, &all, 1, 9999, &done), 0);
  IS(done, 2);
  IS(__wasi_fd_pread(fd, &all, 1, 1ull << 40, &done), 0);
  IS(done, 0);
  IS(__wasi_fd_tell(fd, &at), 0);
  IS(at, 10001);
  IS(__wasi_fd_seek(fd, -10002, __WASI_WHENCE_CUR, &at), __WASI_ERRNO_INVAL);
  IS(__wasi_fd_seek(fd, INT64_MAX, __WASI_WHENCE_END, &at), __WASI_ERRNO_INVAL);
  IS(__wasi_fd_seek(fd, 5, __WASI_WHENCE_END, &at), 0);
  IS(__wasi_fd_read(fd, &all, 1, &done), 0);
  IS(done, 0);
  IS(__wasi_fd_seek(0, 0, __WASI_WHENCE_CUR, &at), __WASI_ERRNO_SPIPE);
  IS(opened(3, "both.txt", 0, __WASI_RIGHTS_FD_READ, &other), 0);
  IS(__wasi_fd_renumber(other, fd), 0);
  IS(__wasi_fd_close(other), __WASI_ERRNO_BADF);
  IS(__wasi_fd_read(fd, &all, 1, &done), 0);
  IS(done, 4);
  IS(__wasi_fd_close(fd), 0);
  IS(__wasi_fd_read(fd, &all, 1, &done), __WASI_ERRNO_BADF);
  IS(__wasi_fd_read(4000000000u, &all, 1, &done), __WASI_ERRNO_BADF);
  IS(__wasi_fd_write(3, (__wasi_ciovec_t *)&all, 1, &done), __WASI_ERRNO_ISDIR);
}

static void folders(void) {
  static uint8_t whole[2000], part[2000];
  __wasi_size_t all, some;
  __wasi_fd_t fd, file;
  IS(opened(3, "data/", __WASI_OFLAGS_DIRECTORY, __WASI_RIGHTS_FD_READDIR, &fd), 0);
  IS(__wasi_fd_readdir(fd, whole, sizeof whole, 0, &all), 0);
  // any buffer gets a prefix; any cookie goes on from there
  for (size_t len = 0; len < all + 5; len++) {
    IS(__wasi_fd_readdir(fd, part, len, 0, &some), 0);
    IS(some, len < all ? len : all);
    IS(memcmp(whole, part, some), 0);
  }
  __wasi_dirent_t entry;
  for (size_t at = 0; at < all; at += sizeof entry + entry.d_namlen) {
    memcpy(&entry, whole + at, sizeof entry);
    IS(__wasi_fd_readdir(fd, part, sizeof part, entry.d_next, &some), 0);
    IS(memcmp(part, whole + at + sizeof entry + entry.d_namlen, some), 0);
  }
  // paths from a folder below the root
  IS(opened(fd, "../both.txt", 0, __WASI_RIGHTS_FD_READ, &file), __WASI_ERRNO_NOTCAPABLE);
  IS(opened(fd, "deep/../../both.txt", 0, __WASI_RIGHTS_FD_READ, &file), __WASI_ERRNO_NOTCAPABLE);
  IS(opened(fd, "deep/er/../../task.txt", 0, __WASI_RIGHTS_FD_READ, &file), 0);
  IS(opened(file, "x", 0, __WASI_RIGHTS_FD_READ, &file), __WASI_ERRNO_NOTDIR);
  IS(opened(fd, "a\nb", __WASI_OFLAGS_CREAT, __WASI_RIGHTS_FD_WRITE, &file), __WASI_ERRNO_INVAL);
  static char long_path[1100];
  memset(long_path, 'a', 300);
  IS(opened(fd, long_path, __WASI_OFLAGS_CREAT, __WASI_RIGHTS_FD_WRITE, &file), __WASI_ERRNO_NAMETOOLONG);
  memset(long_path, '/', 1099);
  IS(opened(fd, long_path, 0, 0, &file), __WASI_ERRNO_NAMETOOLONG);
  IS(opened(fd, "deep/./../new/../made.bin", __WASI_OFLAGS_CREAT | __WASI_OFLAGS_TRUNC, __WASI_RIGHTS_FD_WRITE, &file), 0);
  __wasi_ciovec_t text = {(const uint8_t *)"0123456789", 10};
  IS(__wasi_fd_write(file, &text, 1, &some), 0);
  text.buf_len = 3;
  IS(__wasi_fd_pwrite(file, &text, 1, 2, &some), 0);
  IS(__wasi_fd_pwrite(file, &text, 1, 11, &some), __WASI_ERRNO_INVAL);
  IS(__wasi_fd_filestat_set_size(file, 8), 0);
  IS(__wasi_fd_filestat_set_size(file, 9), __WASI_ERRNO_NOTSUP);
  // its name goes, it stays
  IS(__wasi_path_unlink_file(3, "data/made.bin"), 0);
  IS(__wasi_path_unlink_file(3, "data/made.bin"), __WASI_ERRNO_NOENT);
  IS(__wasi_fd_write(file, &text, 1, &some), __WASI_ERRNO_INVAL); // behind the cut
  IS(__wasi_fd_close(file), 0);
  IS(opened(3, "kept.bin", __WASI_OFLAGS_CREAT, __WASI_RIGHTS_FD_WRITE, &file), 0);
  IS(__wasi_fd_write(file, &text, 1, &some), 0);
  IS(__wasi_fd_close(file), 0);
  IS(opened(3, "kept.bin", 0, __WASI_RIGHTS_FD_READ, &file), __WASI_ERRNO_NOTSUP);
  IS(__wasi_path_rename(3, "both.txt", 3, "b"), __WASI_ERRNO_ROFS);
  IS(__wasi_path_rename(3, "kept.bin", 3, "both.txt"), __WASI_ERRNO_ROFS);
  IS(__wasi_path_rename(3, "kept.bin", 3, "no/such"), __WASI_ERRNO_NOENT);
  IS(__wasi_path_create_directory(3, "dir"), 0);
  IS(__wasi_path_rename(3, "kept.bin", 3, "dir"), __WASI_ERRNO_ISDIR);
  IS(__wasi_path_rename(3, "kept.bin", 3, "dir/kept"), 0);
  IS(__wasi_path_remove_directory(3, "dir/kept"), __WASI_ERRNO_NOTDIR);
  IS(__wasi_path_remove_directory(3, "data"), __WASI_ERRNO_ROFS);
  IS(__wasi_path_symlink("a", 3, "b"), __WASI_ERRNO_NOTSUP);
}

static void rest(void) {
  __wasi_subscription_t in[2] = {0};
  __wasi_event_t out[2];
  __wasi_size_t count;
  in[0].userdata = 11;
  in[0].u.tag = __WASI_EVENTTYPE_CLOCK;
  in[1].userdata = 12;
  in[1].u.tag = __WASI_EVENTTYPE_FD_READ;
  in[1].u.u.fd_read.file_descriptor = 50;
  IS(__wasi_poll_oneoff(in, out, 2, &count), 0);
  IS(count, 2);
  IS(out[0].userdata, 11);
  IS(out[1].error, __WASI_ERRNO_BADF);
  IS(out[1].type, __WASI_EVENTTYPE_FD_READ);
  __wasi_timestamp_t time;
  IS(__wasi_clock_time_get(9, 0, &time), __WASI_ERRNO_INVAL);
  IS(__wasi_sock_shutdown(1, 0), __WASI_ERRNO_NOTSUP);
  __wasi_prestat_t prestat;
  IS(__wasi_fd_prestat_get(4, &prestat), __WASI_ERRNO_BADF);
  __wasi_fdstat_t stat;
  IS(__wasi_fd_fdstat_get(1, &stat), 0);
  IS(stat.fs_rights_base & __WASI_RIGHTS_FD_SEEK, 0);
}

// Buffers of all lengths and alignments, into whatever the stream's position is.
static void writing(void) {
  static uint8_t bytes[600];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = 'a' + i % 26;
  __wasi_size_t done;
  for (size_t a = 0; a < 40; a += 3) {
    for (size_t b = 0; b < 80; b += 11) {
      __wasi_ciovec_t parts[4] = {{bytes + a, a}, {bytes + 2 * a, b}, {bytes, 0}, {bytes + 2 * a + b, 64 - a % 13}};
      IS(__wasi_fd_write(1, parts, 4, &done), 0);
      IS(done, a + b + 64 - a % 13);
    }
  }
}

int main(void) {
  reading();
  folders();
  rest();
  writing();
  return 0;
}

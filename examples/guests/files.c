// Input files and folders, and files created as outputs. Prints what happens; 0 if all is as it should be.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECK(what) do { if (!(what)) { printf("failed: %s (line %d, errno %s)\n", #what, __LINE__, strerror(errno)); exit(1); } } while (0)

static int by_name(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

static void list(const char *path) {
  DIR *folder = opendir(path);
  CHECK(folder);
  char *names[64];
  int count = 0;
  for (struct dirent *entry; (entry = readdir(folder));) {
    CHECK(count < 64);
    names[count] = malloc(300);
    snprintf(names[count++], 300, "%s%s", entry->d_name, entry->d_type == DT_DIR ? "/" : "");
  }
  closedir(folder);
  qsort(names, count, sizeof *names, by_name);
  printf("%s:", path);
  for (int i = 0; i < count; i++) printf(" %s", names[i]);
  printf("\n");
}

static void print_file(const char *path) {
  FILE *file = fopen(path, "r");
  CHECK(file);
  char text[256];
  size_t len = fread(text, 1, sizeof text - 1, file);
  text[len] = 0;
  fclose(file);
  printf("%s = %s\n", path, text);
}

static int open_errno(const char *path, int flags) {
  int fd = open(path, flags, 0644);
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

int main(void) {
  list("/");
  list("data");
  list("./data/../data//deep/");
  print_file("/data/shared.txt");
  print_file("data/task.txt");
  print_file("both.txt");

  struct stat info;
  CHECK(stat("data/big.bin", &info) == 0 && S_ISREG(info.st_mode));
  printf("big.bin: %lld bytes\n", (long long)info.st_size);
  FILE *big = fopen("data/big.bin", "rb");
  CHECK(big);
  unsigned long sum = 0;
  for (int c; (c = fgetc(big)) != EOF;) sum = sum * 31 + c;
  CHECK(fseek(big, -3, SEEK_END) == 0 && ftell(big) == info.st_size - 3);
  printf("sum %lu, last three %02x%02x%02x\n", sum, fgetc(big), fgetc(big), fgetc(big));
  fclose(big);

  CHECK(open_errno("nothing", O_RDONLY) == ENOENT);
  CHECK(open_errno("both.txt/x", O_RDONLY) == ENOTDIR);
  CHECK(open_errno("both.txt", O_WRONLY) == EROFS);
  CHECK(open_errno("both.txt", O_WRONLY | O_CREAT | O_EXCL) == EEXIST);
  CHECK(open_errno("data", O_WRONLY) == EISDIR);
  CHECK(open_errno("no/such", O_WRONLY | O_CREAT) == ENOENT);
  CHECK(unlink("both.txt") && errno == EROFS);
  CHECK(stat("/data", &info) == 0 && S_ISDIR(info.st_mode));

  FILE *out = fopen("result.txt", "w");
  CHECK(out);
  fprintf(out, "hello %d\n", 42);
  CHECK(fseek(out, 0, SEEK_SET) == 0);
  fprintf(out, "J");
  fclose(out);
  out = fopen("result.txt", "a");
  CHECK(out);
  fprintf(out, "more\n");
  fclose(out);
  CHECK(stat("result.txt", &info) == 0);
  printf("result.txt: %lld bytes\n", (long long)info.st_size);

  CHECK(mkdir("out", 0755) == 0 && mkdir("out/sub", 0755) == 0);
  CHECK(mkdir("out", 0755) && errno == EEXIST);
  out = fopen("out/sub/tmp", "w");
  CHECK(out);
  for (int i = 0; i < 1000; i++) fprintf(out, "%d\n", i);
  fclose(out);
  CHECK(rename("out/sub/tmp", "data/numbers.txt") == 0);
  out = fopen("gone", "w");
  CHECK(out && fclose(out) == 0 && unlink("gone") == 0 && stat("gone", &info) && errno == ENOENT);

  char name[32];
  for (int i = 0; i < 200; i++) {
    snprintf(name, sizeof name, "out/%03d", i);
    out = fopen(name, "w");
    CHECK(out);
    fprintf(out, "%d", i * i);
    fclose(out);
  }
  out = fopen("out/000", "a");
  CHECK(out && fputs("+", out) >= 0 && fclose(out) == 0);
  int fds = 0;
  while (open("both.txt", O_RDONLY) >= 0) fds++;
  printf("%d descriptors, then %s\n", fds, strerror(errno));
  return 0;
}

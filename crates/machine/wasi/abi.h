// Numbers that WASI fixes, and descriptors.

enum { OK = 0, EACCES = 2, EBADF = 8, EEXIST = 20, EINVAL = 28, EISDIR = 31, EMFILE = 33, ENAMETOOLONG = 37, ENOENT = 44,
       ENOSPC = 51, ENOTDIR = 54, ENOTEMPTY = 55, ENOTSUP = 58, EROFS = 69, ESPIPE = 70, ENOTCAPABLE = 76 };
enum { TYPE_UNKNOWN = 0, TYPE_FOLDER = 3, TYPE_FILE = 4 };
enum { O_CREAT = 1, O_DIRECTORY = 2, O_EXCL = 4, O_TRUNC = 8 };
enum { FD_APPEND = 1 };
enum { RIGHT_WRITE = 1 << 6, RIGHTS_ALL = (1 << 30) - 1, RIGHTS_STREAM = RIGHTS_ALL & ~(1 << 2 | 1 << 5) }; // no seek, no tell

// Time stands still: 2000-01-01T00:00:00Z, in nanoseconds.
#define NOW 946684800000000000ull

// Kinds of descriptors.
enum { CLOSED, STDIN, STDOUT, STDERR, FOLDER, INPUT, OUTPUT };
// Kinds of records in the output.
enum { REC_STDOUT = 1, REC_STDERR, REC_CREATE, REC_ATTACH, REC_WRITE, REC_RENAME, REC_UNLINK, REC_TRUNCATE };
// Kinds of nodes in the input; of created things too.
enum { NODE_FOLDER = 1, NODE_FILE = 2 };

#define SHARED_HALF (1u << 26) // index of the shared half's first leaf
#define HALF_MASK (SHARED_HALF - 1)
#define NODES 3                // leaf of a half's node 0
#define MAX_PATH 1024
#define MAX_COMPONENT 255
#define MAX_WRITE 0x7fffffffu  // bytes of one write

INLINE u32 fd_kind(u32 fd) { return fd < ROWS ? (u8)get_fd_what(fd) : CLOSED; }
INLINE u32 fd_flags(u32 fd) { return (u16)(get_fd_what(fd) >> 16); }
INLINE u32 fd_value(u32 fd) { return get_fd_what(fd) >> 32; }
INLINE u64 fd_pack(u32 kind, u32 flags, u32 value) { return kind | (u64)(u16)flags << 16 | (u64)value << 32; }


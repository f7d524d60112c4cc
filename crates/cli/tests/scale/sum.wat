;; Adds up the 64-bit words of the shared input /data and writes the sum, 8 bytes, to stdout.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 17)
  (data (i32.const 256) "data")
  (func (export "_start")
    (local $sum i64) (local $at i32) (local $end i32)
    ;; for reading, below the root: its descriptor is 3, the new one comes to 16
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 256) (i32.const 4) (i32.const 0)
          (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16))
      (then unreachable))
    (block $done
      (loop $pieces
        (i32.store (i32.const 0) (i32.const 65536))
        (i32.store (i32.const 4) (i32.const 1048576))
        (if (call $read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
        (br_if $done (i32.eqz (i32.load (i32.const 8))))
        (local.set $at (i32.const 65536))
        (local.set $end (i32.add (local.get $at) (i32.load (i32.const 8))))
        (loop $words
          (local.set $sum (i64.add (local.get $sum) (i64.load (local.get $at))))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if $words (i32.lt_u (local.get $at) (local.get $end))))
        (br $pieces)))
    (i64.store (i32.const 24) (local.get $sum))
    (i32.store (i32.const 0) (i32.const 24))
    (i32.store (i32.const 4) (i32.const 8))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))

;; The least work that is work: reads a number (8 bytes, little-endian) from stdin and writes its square to stdout.
;; `rialto bench tasks` measures with it what everything around a task costs.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    ;; an iovec at 0: 8 bytes at 64
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 8))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32)))
    (i64.store (i32.const 64) (i64.mul (i64.load (i32.const 64)) (i64.load (i32.const 64))))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))

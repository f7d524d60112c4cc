(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $n i64) (local $turns i32)
        (local.set $n (i64.const 27))
        (loop $again
            (local.set $n (if (result i64) (i64.eqz (i64.and (local.get $n) (i64.const 1)))
                (then (i64.shr_u (local.get $n) (i64.const 1)))
                (else (i64.add (i64.mul (local.get $n) (i64.const 3)) (i64.const 1)))))
            (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
            (br_if $again (i64.ne (local.get $n) (i64.const 1))))
        (call $exit (local.get $turns))))
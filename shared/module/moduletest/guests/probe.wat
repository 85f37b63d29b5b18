;; Does what it is told: a payload is a script of instructions, each a number and five operands of 32 bits, and some bytes
;; of data, which it puts to 0x10000 first. Package moduletest writes the scripts (probe.go), so that a case is a line of Go
;; and not a module. Input lies at 0, 64 KiB of it. What an instruction gives is the last result, which the script may
;; store, compare, and gives itself.
(module
  (import "skerry1" "get" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "skerry1" "put" (func $put (param i32 i32 i32)))
  (import "skerry1" "delete" (func $delete (param i32 i32 i32) (result i32)))
  (import "skerry1" "scan_open" (func $scan_open (param i32 i32 i32 i32 i32) (result i32)))
  (import "skerry1" "scan_next" (func $scan_next (param i32 i32 i32) (result i32)))
  (import "skerry1" "scan_close" (func $scan_close (param i32)))
  (import "skerry1" "fail" (func $fail (param i32 i32 i32)))
  (import "skerry1" "blake3" (func $blake3 (param i32 i32 i32)))
  (import "skerry1" "log" (func $log (param i32 i32)))
  (type $nothing (func))
  (memory (export "memory") 4 8)
  (table 4 funcref)
  (elem (i32.const 0) $none $small)
  (global $count (mut i32) (i32.const 0))
  (global $big (mut i64) (i64.const 0x123456789abcdef))
  (global $float (mut f64) (f64.const -0.5))

  (func (export "skerry_io") (result i32) (i32.const 0))
  (func $none)
  (func $skip (param $p i32) (result i32)
    (i32.add (i32.add (local.get $p) (i32.const 4)) (i32.load (local.get $p))))

  (func $small (param $n i32) (result i32)
    (i32.add (call $small (i32.add (local.get $n) (i32.const 1))) (i32.const 1)))

  (func $wide (param $n i32) (result i32)
    (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    (local f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64)
    (local i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)
    (local f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32)
    (i32.add (call $wide (i32.add (local.get $n) (i32.const 1))) (i32.const 1)))

  (func $heavy (local $n i64)
    (local.set $n (i64.const 0x7fffffffffffffff))
    (loop $for_ever
      (local.set $n (i64.add (i64.div_u (i64.mul (i64.rem_u (local.get $n) (i64.const 1000003)) (local.get $n)) (i64.const 7)) (i64.const 3)))
      (local.set $n (i64.add (i64.div_u (i64.mul (i64.rem_u (local.get $n) (i64.const 1000033)) (local.get $n)) (i64.const 11)) (i64.const 5)))
      (f64.store (i32.const 0x3f000) (f64.sqrt (f64.convert_i64_u (local.get $n))))
      (br $for_ever)))

  ;; a NaN, made in one of several ways, or with the bits at $at
  (func $nan (param $way i32) (param $at i32) (result f64)
    (if (i32.eqz (local.get $way)) (then (return (f64.div (f64.const 0) (f64.const 0)))))
    (if (i32.eq (local.get $way) (i32.const 1)) (then (return (f64.neg (f64.sqrt (f64.const -1))))))
    (if (i32.eq (local.get $way) (i32.const 2)) (then (return (f64.add (f64.load (local.get $at)) (f64.const 1)))))
    (if (i32.eq (local.get $way) (i32.const 3)) (then (return (f64.copysign (f64.load (local.get $at)) (f64.const -1)))))
    (if (i32.eq (local.get $way) (i32.const 4)) (then (return (f64.promote_f32 (f32.min (f32.load (local.get $at)) (f32.const 1))))))
    (f64.load (local.get $at)))

  ;; runs the script at $p, its length first, and the data behind it
  (func $run (param $p i32) (result i32)
    (local $end i32) (local $last i32) (local $again i32)
    (local $a i32) (local $b i32) (local $c i32) (local $d i32) (local $e i32)
    (local.set $end (call $skip (local.get $p)))
    (memory.copy (i32.const 0x10000) (i32.add (local.get $end) (i32.const 4)) (i32.load (local.get $end)))
    (local.set $p (i32.add (local.get $p) (i32.const 4)))
    (loop $next
      (if (i32.ge_u (local.get $p) (local.get $end)) (then (return (local.get $last))))
      (local.set $a (i32.load offset=4 (local.get $p)))
      (local.set $b (i32.load offset=8 (local.get $p)))
      (local.set $c (i32.load offset=12 (local.get $p)))
      (local.set $d (i32.load offset=16 (local.get $p)))
      (local.set $e (i32.load offset=20 (local.get $p)))
      (local.set $p (i32.add (local.get $p) (i32.const 24)))
      (block $27 (block $26 (block $25 (block $24 (block $23 (block $22 (block $21
      (block $20 (block $19 (block $18 (block $17 (block $16 (block $15 (block $14 (block $13 (block $12 (block $11 (block $10
      (block $9 (block $8 (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
        (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 $12 $13 $14 $15 $16 $17 $18 $19 $20 $21 $22 $23 $24 $25 $26 $27
          (i32.load (i32.sub (local.get $p) (i32.const 24)))))
        (local.set $last (call $get (local.get $a) (local.get $b) (local.get $c) (local.get $d) (local.get $e))) (br $next))
        (call $put (local.get $a) (local.get $b) (local.get $c)) (br $next))
        (local.set $last (call $delete (local.get $a) (local.get $b) (local.get $c))) (br $next))
        (local.set $last (call $scan_open (local.get $a) (local.get $b) (local.get $c) (local.get $d) (local.get $e))) (br $next))
        (local.set $last (call $scan_next (local.get $a) (local.get $b) (local.get $c))) (br $next))
        (call $scan_close (local.get $a)) (br $next))
        (call $fail (local.get $a) (local.get $b) (local.get $c)) (br $next))
        (call $blake3 (local.get $a) (local.get $b) (local.get $c)) (br $next))
        (call $log (local.get $a) (local.get $b)) (br $next))
        (local.set $last (memory.grow (local.get $a))) (br $next)) ;; 9
        (unreachable)) ;; 10
        (loop $for_ever (br $for_ever))) ;; 11
        (call $heavy) (br $next)) ;; 12
        (local.set $last (call $small (local.get $a))) (br $next)) ;; 13
        (local.set $last (call $wide (local.get $a))) (br $next)) ;; 14
        (loop $for_ever (memory.fill (i32.const 0x20000) (i32.const 1) (i32.const 0x10000)) (br $for_ever))) ;; 15
        (i32.store (local.get $a) (local.get $b)) (br $next)) ;; 16
        (i32.store (local.get $a) (local.get $last)) (br $next)) ;; 17
        (if (i32.ne (local.get $last) (local.get $a)) ;; 18
          (then (i32.store (i32.const 0x3fff0) (local.get $last)) (call $fail (i32.const 1000) (i32.const 0x3fff0) (i32.const 0))))
        (br $next))
        (memory.copy (local.get $a) (local.get $b) (local.get $c)) (br $next)) ;; 19
        (global.set $count (i32.add (global.get $count) (i32.const 1))) ;; 20
        (global.set $big (i64.add (global.get $big) (i64.const 0x100000001)))
        (global.set $float (f64.mul (global.get $float) (f64.const 2)))
        (i32.store (i32.const 0x3ffe0) (i32.add (i32.load (i32.const 0x3ffe0)) (i32.const 1)))
        (local.set $last (i32.add (i32.mul (global.get $count) (i32.const 1000)) (i32.load (i32.const 0x3ffe0))))
        (local.set $last (i32.xor (local.get $last) (i32.wrap_i64 (global.get $big))))
        (local.set $last (i32.xor (local.get $last) (i32.wrap_i64 (i64.reinterpret_f64 (global.get $float)))))
        (br $next))
        (if (i32.lt_u (local.get $again) (local.get $b)) ;; 21: $a instructions once more, $b times
          (then
            (local.set $again (i32.add (local.get $again) (i32.const 1)))
            (local.set $p (i32.sub (local.get $p) (i32.mul (i32.add (local.get $a) (i32.const 1)) (i32.const 24)))))
          (else (local.set $again (i32.const 0))))
        (br $next))
        (i32.store (local.get $a) (i32.add (i32.load (local.get $a)) (local.get $b))) (br $next)) ;; 22
        (f64.store (local.get $a) (call $nan (local.get $b) (local.get $c))) (br $next)) ;; 23
        (local.set $last (i32.div_s (local.get $a) (local.get $b))) (br $next)) ;; 24
        (local.set $last (i32.load (local.get $a))) (br $next)) ;; 25
        (call_indirect (type $nothing) (local.get $a)) (br $next)) ;; 26
      (local.set $last (i32.trunc_f64_s (f64.load (local.get $a)))) ;; 27 and above
      (br $next))
    (unreachable))

  ;; event 0 runs its script in apply, 1 in authorize, any other does nothing
  (func (export "authorize") (param $len i32) (result i32)
    (if (i32.ne (i32.load (i32.const 0)) (i32.const 1)) (then (return (i32.const 0))))
    (call $run (call $skip (call $skip (call $skip (i32.const 28))))))
  (func (export "apply") (param $len i32)
    (if (i32.load (i32.const 0)) (then (return)))
    (drop (call $run (i32.add (call $skip (call $skip (i32.const 28))) (i32.const 16)))))
  (func (export "init") (param $len i32)
    (local $p i32)
    (local.set $p (i32.add (call $skip (i32.const 0)) (i32.const 16)))
    (if (i32.load (local.get $p)) (then (drop (call $run (i32.add (local.get $p) (i32.const 4)))))))
  (func (export "readable") (param $len i32) (result i32)
    (if (i32.lt_u (local.get $len) (i32.const 12)) (then (return (i32.const 1))))
    (if (i32.eq (i32.load (i32.const 4)) (i32.const 0x3a646964)) (then (return (i32.const 1)))) ;; "did:"
    (call $run (i32.const 4))))

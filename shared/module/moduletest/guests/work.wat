;; Work of the kinds that guests do, to measure what counting it costs. Each takes how much of it, and returns something
;; that depends on all of it. fill comes first.
(module
  (memory (export "memory") 2 2)

  ;; letters and spaces, in 64 KiB
  (func (export "fill") (param $n i32) (result i32)
    (local $i i32) (local $x i32)
    (local.set $x (i32.const 1))
    (loop $next
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
      (i32.store8 (local.get $i)
        (select (i32.const 32) (i32.add (i32.const 97) (i32.and (i32.shr_u (local.get $x) (i32.const 24)) (i32.const 15)))
          (i32.lt_u (local.get $x) (i32.const 0x20000000))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 65536))))
    (local.get $x))

  ;; counts the words of a text, n times
  (func (export "words") (param $n i32) (result i32)
    (local $i i32) (local $words i32) (local $in i32)
    (loop $again
      (local.set $i (i32.const 0))
      (loop $next
        (if (i32.eq (i32.load8_u (local.get $i)) (i32.const 32))
          (then (local.set $in (i32.const 0)))
          (else
            (if (i32.eqz (local.get $in))
              (then (local.set $words (i32.add (local.get $words) (i32.const 1))) (local.set $in (i32.const 1))))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 65536))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $words))

  ;; hashes a text by FNV-1a of 64 bits, n times
  (func (export "hash") (param $n i32) (result i32)
    (local $i i32) (local $h i64)
    (local.set $h (i64.const 0xcbf29ce484222325))
    (loop $again
      (local.set $i (i32.const 0))
      (loop $next
        (local.set $h (i64.mul (i64.xor (local.get $h) (i64.load8_u (local.get $i))) (i64.const 0x100000001b3)))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 65536))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.wrap_i64 (local.get $h)))

  ;; copies the text as numbers to 64 KiB and sorts the first 4,096 of them by insertion in steps, n times
  (func (export "sort") (param $n i32) (result i32)
    (local $gap i32) (local $i i32) (local $j i32) (local $x i32)
    (loop $again
      (memory.copy (i32.const 65536) (i32.const 0) (i32.const 65536))
      (local.set $gap (i32.const 1093))
      (loop $gaps
        (local.set $i (local.get $gap))
        (loop $next
          (local.set $x (i32.load (i32.add (i32.const 65536) (i32.shl (local.get $i) (i32.const 2)))))
          (local.set $j (local.get $i))
          (block $placed
            (loop $down
              (br_if $placed (i32.lt_u (local.get $j) (local.get $gap)))
              (br_if $placed (i32.le_u
                (i32.load (i32.add (i32.const 65536) (i32.shl (i32.sub (local.get $j) (local.get $gap)) (i32.const 2))))
                (local.get $x)))
              (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $j) (i32.const 2)))
                (i32.load (i32.add (i32.const 65536) (i32.shl (i32.sub (local.get $j) (local.get $gap)) (i32.const 2)))))
              (local.set $j (i32.sub (local.get $j) (local.get $gap)))
              (br $down)))
          (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $j) (i32.const 2))) (local.get $x))
          (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4096))))
        (br_if $gaps (local.tee $gap (i32.div_u (local.get $gap) (i32.const 3)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.load (i32.const 65540)))

  ;; the nth number of Fibonacci, by calls alone
  (func $calls (export "calls") (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else (i32.add (call $calls (i32.sub (local.get $n) (i32.const 1))) (call $calls (i32.sub (local.get $n) (i32.const 2)))))))
)

;; What a test of the engine alone needs. apply does what the first word of its input says, with the second as its number.
(module
  (import "skerry1" "blake3" (func $blake3 (param i32 i32 i32)))
  (import "skerry1" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1 4)
  (global $sum (mut i64) (i64.const 0))
  (func (export "skerry_io") (result i32) (i32.const 0))
  (func (export "authorize") (param i32) (result i32) (i32.const 0))

  ;; a frame for each, and a host function at the end
  (func $deep (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.add (call $deep (i32.sub (local.get $n) (i32.const 1))) (i32.const 1)))
      (else (call $blake3 (i32.const 0) (i32.const 8) (i32.const 64)) (i32.const 0))))

  ;; the same, with values that the engine has to keep meanwhile
  (func $wide (param $n i32) (result i64)
    (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    (local.set 1 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 3)))
    (local.set 2 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 5)))
    (local.set 3 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 7)))
    (local.set 4 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 9)))
    (local.set 5 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 11)))
    (local.set 6 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 13)))
    (local.set 7 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 15)))
    (local.set 8 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 17)))
    (local.set 9 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 19)))
    (local.set 10 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 21)))
    (local.set 11 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 23)))
    (local.set 12 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 25)))
    (local.set 13 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 27)))
    (local.set 14 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 29)))
    (local.set 15 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 31)))
    (local.set 16 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 33)))
    (local.set 17 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 35)))
    (local.set 18 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 37)))
    (local.set 19 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 39)))
    (local.set 20 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 41)))
    (local.set 21 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 43)))
    (local.set 22 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 45)))
    (local.set 23 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 47)))
    (local.set 24 (i64.mul (i64.extend_i32_u (local.get 0)) (i64.const 49)))
    (if (local.get $n)
      (then (global.set $sum (call $wide (i32.sub (local.get $n) (i32.const 1)))))
      (else (call $blake3 (i32.const 0) (i32.const 8) (i32.const 64))))
    (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.add (i64.const 0) (local.get 1)) (local.get 2)) (local.get 3)) (local.get 4)) (local.get 5)) (local.get 6)) (local.get 7)) (local.get 8)) (local.get 9)) (local.get 10)) (local.get 11)) (local.get 12)) (local.get 13)) (local.get 14)) (local.get 15)) (local.get 16)) (local.get 17)) (local.get 18)) (local.get 19)) (local.get 20)) (local.get 21)) (local.get 22)) (local.get 23)) (local.get 24)))

  (func (export "apply") (param i32)
    (local $n i32)
    (local.set $n (i32.load (i32.const 4)))
    (block $logs (block $wides (block $deeps (block $nothing
      (br_table $nothing $deeps $wides $logs (i32.load (i32.const 0)))) ;; 0
      (return)) ;; 1
      (drop (call $deep (local.get $n))) (return)) ;; 2
      (drop (call $wide (local.get $n))) (return)) ;; 3
    (loop $again
      (call $log (i32.const 0) (i32.const 8))
      (br_if $again (i32.gt_s (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 0))))))

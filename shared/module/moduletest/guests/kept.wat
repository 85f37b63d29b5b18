;; Keeps of every event the payload as the host gives it, whatever its fields are: so a manifest alone decides what is seen. Manifests: kept.go.
;; Input lies at 0, 64 KiB of it.
(module
  (import "skerry1" "put" (func $put (param i32 i32 i32)))
  (memory (export "memory") 2 2)

  (func (export "skerry_io") (result i32) (i32.const 0))

  ;; past a text or bytes
  (func $skip (param $p i32) (result i32)
    (i32.add (i32.add (local.get $p) (i32.const 4)) (i32.load (local.get $p))))

  (func (export "authorize") (param $len i32) (result i32) (i32.const 0))

  ;; a row of seq, the event's place, and the payload, made where seq and received_at lie, and 4 bytes before
  (func (export "apply") (param $len i32)
    (local $p i32) (local $size i32)
    (local.set $p (i32.sub (call $skip (call $skip (i32.const 28))) (i32.const 4)))
    (local.set $size (i32.sub (i32.sub (local.get $len) (local.get $p)) (i32.const 20)))
    (i64.store (local.get $p) (i64.load (i32.add (local.get $p) (i32.const 4))))
    (i64.store (i32.add (local.get $p) (i32.const 8)) (i64.extend_i32_u (i32.load (i32.const 0))))
    (i32.store (i32.add (local.get $p) (i32.const 16)) (local.get $size))
    (call $put (i32.const 0) (local.get $p) (i32.add (local.get $size) (i32.const 20)))))

;; A list of members, who alone may read and add others. It can take over from another list, and does what upgrades may not
;; do where names tell it to. Manifests: members.go. Input lies at 0, 64 KiB of it.
(module
  (import "skerry1" "get" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "skerry1" "put" (func $put (param i32 i32 i32)))
  (import "skerry1" "delete" (func $delete (param i32 i32 i32) (result i32)))
  (import "skerry1" "fail" (func $fail (param i32 i32 i32)))
  (memory (export "memory") 2 2)
  (data (i32.const 0x1f000) "not a member")

  (func (export "skerry_io") (result i32) (i32.const 0))

  ;; past a text or bytes
  (func $skip (param $p i32) (result i32)
    (i32.add (i32.add (local.get $p) (i32.const 4)) (i32.load (local.get $p))))

  (func $length (param $p i32) (result i32) (i32.sub (call $skip (local.get $p)) (local.get $p)))

  (func $member (param $p i32) (result i32)
    (i32.ge_s (call $get (i32.const 0) (local.get $p) (call $length (local.get $p)) (i32.const 0) (i32.const 0)) (i32.const 0)))

  (func (export "init") (param $len i32)
    (call $put (i32.const 0) (i32.const 0) (call $length (i32.const 0))))

  ;; of an upgrade: "t" traps, "s" says no; others as members do
  (func (export "authorize") (param $len i32) (result i32)
    (if (i32.eq (i32.load (i32.const 0)) (i32.const -1))
      (then
        (if (i32.eq (i32.load8_u (i32.const 32)) (i32.const 0x74)) (then unreachable))
        (if (i32.eq (i32.load8_u (i32.const 32)) (i32.const 0x73)) (then (return (i32.const 9))))))
    (if (i32.eqz (call $member (i32.const 28))) (then (call $fail (i32.const 1) (i32.const 0x1f000) (i32.const 12))))
    (i32.const 0))

  ;; add who, remove who, note text
  (func (export "apply") (param $len i32)
    (local $p i32)
    (local.set $p (call $skip (call $skip (i32.const 28)))) ;; at seq and received_at
    (if (i32.eqz (i32.load (i32.const 0)))
      (then (call $put (i32.const 0) (i32.add (local.get $p) (i32.const 16)) (i32.sub (i32.sub (local.get $len) (local.get $p)) (i32.const 16)))))
    (if (i32.eq (i32.load (i32.const 0)) (i32.const 1))
      (then (drop (call $delete (i32.const 0) (i32.add (local.get $p) (i32.const 16)) (i32.sub (i32.sub (local.get $len) (local.get $p)) (i32.const 16))))))
    (if (i32.eq (i32.load (i32.const 0)) (i32.const 2)) ;; seq, text
      (then
        (i64.store (i32.add (local.get $p) (i32.const 8)) (i64.load (local.get $p)))
        (call $put (i32.const 1) (i32.add (local.get $p) (i32.const 8)) (i32.sub (i32.sub (local.get $len) (local.get $p)) (i32.const 8))))))

  (func (export "readable") (param $len i32) (result i32) (call $member (i32.const 0)))

  ;; takes over rows that are names: "l" loops, "x" stops, "q" refuses with 5. In the end a member is called like the version.
  (func (export "migrate") (param $len i32) (result i32)
    (local $p i32) (local $version i32) (local $n i32)
    (local.set $version (call $skip (i32.add (call $skip (i32.const 0)) (i32.const 16))))
    (local.set $p (call $skip (call $skip (local.get $version))))
    (local.set $n (i32.load (local.get $p)))
    (local.set $p (i32.add (local.get $p) (i32.const 4)))
    (if (i32.eqz (local.get $n))
      (then
        (call $put (i32.const 0) (local.get $version) (call $length (local.get $version)))
        (return (i32.const 0))))
    (loop $next
      (if (i32.eq (i32.load8_u offset=8 (local.get $p)) (i32.const 0x6c)) (then (loop $ever (br $ever))))
      (if (i32.eq (i32.load8_u offset=8 (local.get $p)) (i32.const 0x78)) (then unreachable))
      (if (i32.eq (i32.load8_u offset=8 (local.get $p)) (i32.const 0x71)) (then (return (i32.const 5))))
      (call $put (i32.const 0) (i32.add (local.get $p) (i32.const 4)) (i32.load (local.get $p)))
      (local.set $p (call $skip (local.get $p)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.const 0)))

;; A small chat: what a real module does, written by hand. Manifest: chat.go. Input lies at 0, 64 KiB of it; rows are
;; made and read from 0x10000 on. Rows are in the form of payloads, so most of making one is copying.
(module
  (import "skerry1" "get" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "skerry1" "put" (func $put (param i32 i32 i32)))
  (import "skerry1" "delete" (func $delete (param i32 i32 i32) (result i32)))
  (import "skerry1" "scan_open" (func $scan_open (param i32 i32 i32 i32 i32) (result i32)))
  (import "skerry1" "scan_next" (func $scan_next (param i32 i32 i32) (result i32)))
  (import "skerry1" "scan_close" (func $scan_close (param i32)))
  (import "skerry1" "fail" (func $fail (param i32 i32 i32)))
  (import "skerry1" "log" (func $log (param i32 i32)))
  (memory (export "memory") 2 4)
  (data (i32.const 0x1f000) "join firstnot yoursno such message")
  (global $out (mut i32) (i32.const 0x10000)) ;; where the row that is made ends

  (func (export "skerry_io") (result i32) (i32.const 0))

  ;; past a text or bytes
  (func $skip (param $p i32) (result i32)
    (i32.add (i32.add (local.get $p) (i32.const 4)) (i32.load (local.get $p))))

  (func $emit (param $from i32) (param $n i32)
    (memory.copy (global.get $out) (local.get $from) (local.get $n))
    (global.set $out (i32.add (global.get $out) (local.get $n))))

  (func $write (param $table i32)
    (call $put (local.get $table) (i32.const 0x10000) (i32.sub (global.get $out) (i32.const 0x10000))))

  ;; whether two texts differ
  (func $differ (param $a i32) (param $b i32) (result i32)
    (local $n i32)
    (local.set $n (i32.add (i32.load (local.get $a)) (i32.const 4)))
    (loop $next
      (if (i32.ne (i32.load8_u (local.get $a)) (i32.load8_u (local.get $b))) (then (return (i32.const 1))))
      (local.set $a (i32.add (local.get $a) (i32.const 1)))
      (local.set $b (i32.add (local.get $b) (i32.const 1)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.const 0))

  ;; refuses if the message with the number at $seq is not there or somebody else's
  (func $own (param $seq i32)
    (if (i32.lt_s (call $get (i32.const 0) (local.get $seq) (i32.const 8) (i32.const 0x10000) (i32.const 0xf000)) (i32.const 0))
      (then (call $fail (i32.const 4) (i32.const 0x1f013) (i32.const 15))))
    (if (call $differ (i32.const 0x10008) (i32.const 28))
      (then (call $fail (i32.const 3) (i32.const 0x1f00a) (i32.const 9)))))

  (func (export "authorize") (param $len i32) (result i32)
    (local $event i32) (local $p i32)
    (local.set $event (i32.load (i32.const 0)))
    (local.set $p (call $skip (call $skip (call $skip (i32.const 28))))) ;; past author, version and claims
    (if (i32.eq (local.get $event) (i32.const 3)) ;; join
      (then (return (i32.eqz (i32.load (local.get $p))))))
    (if (i32.lt_s
          (call $get (i32.const 1) (i32.const 28) (i32.add (i32.load (i32.const 28)) (i32.const 4)) (i32.const 0) (i32.const 0))
          (i32.const 0))
      (then (call $fail (i32.const 1) (i32.const 0x1f000) (i32.const 10))))
    (if (i32.eqz (local.get $event)) ;; message: of some text
      (then (return (select (i32.const 0) (i32.const 2) (i32.load (call $skip (local.get $p)))))))
    (if (i32.le_u (local.get $event) (i32.const 2)) (then (call $own (local.get $p))))
    (i32.const 0))

  (func (export "apply") (param $len i32)
    (local $event i32) (local $p i32) (local $payload i32)
    (local.set $event (i32.load (i32.const 0)))
    (local.set $p (call $skip (call $skip (i32.const 28)))) ;; at seq and received_at
    (local.set $payload (i32.add (local.get $p) (i32.const 16)))
    (if (i32.eqz (local.get $event)) ;; message: seq, author, room, text
      (then
        (call $emit (local.get $p) (i32.const 8))
        (call $emit (i32.const 28) (i32.add (i32.load (i32.const 28)) (i32.const 4)))
        (call $emit (local.get $payload) (i32.sub (local.get $len) (local.get $payload)))
        (call $write (i32.const 0))))
    (if (i32.eq (local.get $event) (i32.const 1)) ;; edit: another text
      (then
        (drop (call $get (i32.const 0) (local.get $payload) (i32.const 8) (i32.const 0x10000) (i32.const 0xf000)))
        (global.set $out (call $skip (call $skip (i32.const 0x10008))))
        (call $emit (i32.add (local.get $payload) (i32.const 8)) (i32.sub (i32.sub (local.get $len) (local.get $payload)) (i32.const 8)))
        (call $write (i32.const 0))))
    (if (i32.eq (local.get $event) (i32.const 2)) ;; remove
      (then (drop (call $delete (i32.const 0) (local.get $payload) (i32.const 8)))))
    (if (i32.eq (local.get $event) (i32.const 3)) ;; join: author, name, age
      (then
        (call $emit (i32.const 28) (i32.add (i32.load (i32.const 28)) (i32.const 4)))
        (call $emit (local.get $payload) (i32.sub (local.get $len) (local.get $payload)))
        (call $write (i32.const 1))))
    (if (i32.eq (local.get $event) (i32.const 4)) (then (call $stats (local.get $payload)))))

  ;; counts a room's messages and finds the last: room, count, last
  (func $stats (param $room i32)
    (local $n i32) (local $scan i32) (local $count i64) (local $last i64)
    (local.set $n (i32.add (i32.load (local.get $room)) (i32.const 4)))
    (local.set $scan (call $scan_open (i32.const 0) (i32.const 1) (local.get $room) (local.get $n) (i32.const 0)))
    (block $end
      (loop $next
        (br_if $end (i32.lt_s (call $scan_next (local.get $scan) (i32.const 0x11000) (i32.const 0x8000)) (i32.const 0)))
        (local.set $count (i64.add (local.get $count) (i64.const 1)))
        (br $next)))
    (call $scan_close (local.get $scan))
    (local.set $scan (call $scan_open (i32.const 0) (i32.const 1) (local.get $room) (local.get $n) (i32.const 1)))
    (if (i32.ge_s (call $scan_next (local.get $scan) (i32.const 0x11000) (i32.const 0x8000)) (i32.const 0))
      (then (local.set $last (i64.load (i32.const 0x11000)))))
    (call $emit (local.get $room) (local.get $n))
    (i64.store (global.get $out) (local.get $count))
    (i64.store offset=8 (global.get $out) (local.get $last))
    (global.set $out (i32.add (global.get $out) (i32.const 16)))
    (call $write (i32.const 2))
    (call $log (local.get $room) (local.get $n)))

  ;; the creator is the first who joined, under the name that is the identity
  (func (export "init") (param $len i32)
    (call $emit (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 4)))
    (call $emit (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 4)))
    (i32.store8 (global.get $out) (i32.const 0))
    (global.set $out (i32.add (global.get $out) (i32.const 1)))
    (call $write (i32.const 1)))

  ;; who joined may read
  (func (export "readable") (param $len i32) (result i32)
    (i32.ge_s
      (call $get (i32.const 1) (i32.const 0) (local.get $len) (i32.const 0) (i32.const 0))
      (i32.const 0))))

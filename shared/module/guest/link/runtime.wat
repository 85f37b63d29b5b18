;; What a program that Go's linker wrote gets in place of WASI, and what calls it. Package link joins the two; they have
;; one memory. Go begins to use it at 12288, and takes an address below 4096 for nil: between the two is what is here.
;; A line that is written and not ended lies from 4096 on, 1 KiB of it, which is the most that log takes.
(module
  (import "skerry1" "log" (func $log (param i32 i32)))
  (import "guest" "_initialize" (func $initialize))
  (import "guest" "skerry_io" (func $io (result i32)))
  (import "guest" "skerry_manifest" (func $manifest (param i32) (result i32)))
  (import "guest" "authorize" (func $authorize (param i32) (result i32)))
  (import "guest" "apply" (func $apply (param i32)))
  (import "guest" "init" (func $init (param i32)))
  (import "guest" "readable" (func $readable (param i32) (result i32)))
  (import "guest" "migrate" (func $migrate (param i32) (result i32)))
  (memory 1)
  (data (i32.const 0x1400) "a module has no files")
  (data (i32.const 0x1420) "a module has no network")
  (data (i32.const 0x1440) "a module waits for nothing")
  (data (i32.const 0x1480) "GOGC=off\00")
  (global $length (mut i32) (i32.const 0)) ;; of the line
  ;; What changes begins anew with each call, as all that a module has: the first second of the year 2000, and a seed.
  (global $time (mut i64) (i64.const 946684800000000000))
  (global $random (mut i64) (i64.const 0x536b65727279))

  (func $end_line
    (if (global.get $length)
      (then
        (call $log (i32.const 0x1000) (global.get $length))
        (global.set $length (i32.const 0)))))

  (func $write (param $byte i32)
    (if (i32.eq (local.get $byte) (i32.const 10)) (then (call $end_line) (return)))
    (i32.store8 offset=0x1000 (global.get $length) (local.get $byte))
    (global.set $length (i32.add (global.get $length) (i32.const 1)))
    (if (i32.eq (global.get $length) (i32.const 0x400)) (then (call $end_line))))

  ;; stops, and says why
  (func $stop (param $at i32) (param $n i32)
    (call $end_line)
    (call $log (local.get $at) (local.get $n))
    (unreachable))
  (func $no_files (result i32) (call $stop (i32.const 0x1400) (i32.const 21)) (i32.const 0))
  (func $no_network (result i32) (call $stop (i32.const 0x1420) (i32.const 23)) (i32.const 0))

  ;; What the host calls: a line that was not ended ends with the call.
  (start $start)
  (func $start (call $initialize) (call $end_line))
  (func (export "skerry_io") (result i32) (call $io))
  (func (export "skerry_manifest") (param i32) (result i32) (call $manifest (local.get 0)))
  (func (export "authorize") (param i32) (result i32) (call $authorize (local.get 0)) (call $end_line))
  (func (export "apply") (param i32) (call $apply (local.get 0)) (call $end_line))
  (func (export "init") (param i32) (call $init (local.get 0)) (call $end_line))
  (func (export "readable") (param i32) (result i32) (call $readable (local.get 0)) (call $end_line))
  (func (export "migrate") (param i32) (result i32) (call $migrate (local.get 0)) (call $end_line))

  ;; What is written to standard output and standard error is logged, a line at a time; to others it is a bad descriptor.
  (func (export "fd_write") (param $fd i32) (param $list i32) (param $n i32) (param $written i32) (result i32)
    (local $at i32) (local $left i32) (local $all i32)
    (if (i32.gt_u (i32.sub (local.get $fd) (i32.const 1)) (i32.const 1)) (then (return (i32.const 8))))
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $n)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (local.set $at (i32.load (local.get $list)))
        (local.set $left (i32.load offset=4 (local.get $list)))
        (local.set $list (i32.add (local.get $list) (i32.const 8)))
        (local.set $all (i32.add (local.get $all) (local.get $left)))
        (loop $bytes
          (br_if $next (i32.eqz (local.get $left)))
          (call $write (i32.load8_u (local.get $at)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br $bytes))))
    (i32.store (local.get $written) (local.get $all))
    (i32.const 0))

  ;; Time passes where a program waits for that, and only there: a sleep is over at once, and so is one of Go's own.
  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $at i32) (result i32)
    (i64.store (local.get $at) (global.get $time))
    (i32.const 0))
  (func (export "poll_oneoff") (param $for i32) (param $event i32) (param $n i32) (param $events i32) (result i32)
    (if (i32.load8_u offset=8 (local.get $for)) ;; not for a time: Go puts that first
      (then (call $stop (i32.const 0x1440) (i32.const 26))))
    (global.set $time (i64.add (global.get $time) (i64.load offset=24 (local.get $for))))
    (i64.store (local.get $event) (i64.load (local.get $for)))
    (i64.store offset=8 (local.get $event) (i64.const 0))
    (i32.store (local.get $events) (i32.const 1))
    (i32.const 0))

  ;; The high bytes of a linear congruence.
  (func (export "random_get") (param $at i32) (param $n i32) (result i32)
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $n)))
        (global.set $random
          (i64.add (i64.mul (global.get $random) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
        (i32.store8 (local.get $at) (i32.wrap_i64 (i64.shr_u (global.get $random) (i64.const 56))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; There are no arguments, and of an environment what keeps Go from collecting garbage: for that no call has fuel, and
  ;; what a call leaves is gone with it.
  (func (export "args_sizes_get") (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_sizes_get") (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 1))
    (i32.store (local.get $size) (i32.const 9))
    (i32.const 0))
  (func (export "environ_get") (param $list i32) (param $at i32) (result i32)
    (i32.store (local.get $list) (local.get $at))
    (memory.copy (local.get $at) (i32.const 0x1480) (i32.const 9))
    (i32.const 0))
  (func (export "sched_yield") (result i32) (i32.const 0))

  ;; What Go asks about descriptors before anything else runs: there are none.
  (func $bad (param i32 i32) (result i32) (i32.const 8))
  (export "fd_prestat_get" (func $bad))
  (export "fd_fdstat_get" (func $bad))
  (export "fd_fdstat_set_flags" (func $bad))

  ;; The rest stops the module.
  (func (export "proc_exit") (param i32) (call $end_line) (unreachable))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (call $no_network))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (call $no_network))
  (func (export "fd_close") (param i32) (result i32) (call $no_files))
  (func (export "fd_sync") (param i32) (result i32) (call $no_files))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (call $no_files))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (call $no_files))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (call $no_files))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (call $no_files))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (call $no_files))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (call $no_files))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (call $no_files))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (call $no_files))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (call $no_files))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (call $no_files))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (call $no_files))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (call $no_files))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (call $no_files))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (call $no_files))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (call $no_files))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (call $no_files))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (call $no_files))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (call $no_files))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (call $no_files)))

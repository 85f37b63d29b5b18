// The browser's side of package jsengine, for workers that run a Go program: skerryModules.imports are what that program
// imports as "skerry", and begin gets its exports. It copies between two memories, the Go program's and that of the module
// that runs, and decides nothing. One module runs at a time, which the Go side sees to.
globalThis.skerryModules = (() => {
  const names = ["authorize", "apply", "init", "readable", "migrate", "__skerry_start", "skerry_io"];
  const [returned, trapped, failed] = [0, 1, 2];
  const mostInstances = 12; // browsers have room for about 120, and WebKit gets stuck long before that
  const stop = {}; // thrown through the module's frames, and never through those of Go
  const programs = []; // by number
  const imported = {};
  let go; // exports of the Go program
  let goBytes = new Uint8Array();
  let goWords = new Int32Array();
  let state = 0; // where package jsengine has its words: fuel, size, stop, result, frames, slots, oom
  let running; // the program that runs
  let inGo = false; // a host function runs: what is thrown then has unwound frames of Go
  let ticks = 0;
  let live = 0;
  let fault = "";

  /** Takes views again whose memory has grown: that leaves them empty. */
  function views() {
    if (goBytes.length === 0) {
      goBytes = new Uint8Array(go.mem.buffer);
      goWords = new Int32Array(go.mem.buffer);
    }
    if (running.bytes.length === 0) running.bytes = new Uint8Array(running.memory.buffer);
  }

  function copy(to, at, from, start, n) {
    if (n > 64) to.set(from.subarray(start, start + n), at);
    else for (let i = 0; i < n; i++) to[at + i] = from[start + i];
  }

  /** Makes a function that modules import of one that the Go program exports. */
  function host(f) {
    return (a, b, c, d, e) => {
      views();
      const fuel = running.fuel;
      goWords[state] = fuel.value;
      goWords[state + 1] = running.bytes.length;
      inGo = true;
      const result = f(a, b, c, d, e);
      inGo = false;
      if (goWords.length === 0) views();
      fuel.value = goWords[state];
      if (goWords[state + 2] !== 0) throw stop;
      return result;
    };
  }

  function drop(p) {
    if (!p.instance) return;
    p.instance = p.memory = p.exports = p.globals = p.fuel = p.frames = p.slots = p.oom = undefined;
    p.bytes = new Uint8Array();
    live--;
  }

  /** Drops the instance that was used least lately. */
  function dropOne() {
    const [first] = programs.filter((p) => p?.instance).sort((a, b) => a.used - b.used);
    if (first) drop(first);
  }

  function instantiate(p) {
    while (live >= mostInstances) dropOne();
    try {
      p.instance = new WebAssembly.Instance(p.module, { skerry1: imported });
    } catch {
      while (live > 0) dropOne(); // room for memories is what a browser runs out of
      p.instance = new WebAssembly.Instance(p.module, { skerry1: imported });
    }
    live++;
    const all = p.instance.exports;
    p.memory = all.memory;
    p.exports = names.map((name) => all[name]);
    p.globals = p.names.map((name) => all[name]);
    p.fuel = all.__skerry_fuel;
    p.frames = all.__skerry_frames;
    p.slots = all.__skerry_slots;
    p.oom = all.__skerry_oom;
    p.bytes = new Uint8Array(p.memory.buffer);
    if (!p.snapshot) return;
    const more = p.snapshot.length - p.bytes.length;
    if (more > 0) p.memory.grow(more / 65536);
  }

  /** Makes memory and globals what they were after the start, which is all that a call can change. */
  function restore(p) {
    if (!p.instance) instantiate(p);
    if (!p.snapshot) return;
    if (p.bytes.length === 0) p.bytes = new Uint8Array(p.memory.buffer);
    p.bytes.set(p.snapshot);
    for (let i = 0; i < p.globals.length; i++) p.globals[i].value = p.saved[i];
    if (p.trapped) p.frames.value = p.slots.value = p.oom.value = 0;
    p.trapped = false;
  }

  function call(number, which, input, n, fuel, at) {
    const p = programs[number];
    state = at >>> 2;
    running = p;
    p.used = ++ticks;
    try {
      restore(p);
      views();
      copy(p.bytes, p.io, goBytes, input >>> 0, n);
      p.fuel.value = fuel;
      let result;
      let status = trapped;
      try {
        result = p.exports[which](n) | 0;
        status = returned;
      } catch (thrown) {
        if (inGo || (thrown !== stop && !(thrown instanceof WebAssembly.RuntimeError))) throw thrown;
        p.trapped = true;
      }
      views();
      goWords[state] = p.fuel.value;
      goWords[state + 3] = result;
      if (status === trapped) {
        goWords[state + 4] = p.frames.value;
        goWords[state + 5] = p.slots.value;
        goWords[state + 6] = p.oom.value;
      }
      if (p.snapshot && p.bytes.length !== p.snapshot.length) drop(p);
      return status;
    } catch (thrown) {
      if (inGo) throw thrown; // frames of Go are gone, and the program with them: it must not go on
      fault = String(thrown);
      drop(p);
      return failed;
    }
  }

  return {
    imports: {
      call,
      /** Copies from the module's memory to that of Go. */
      read(from, n, to) {
        views();
        copy(goBytes, to >>> 0, running.bytes, from >>> 0, n);
      },
      write(to, n, from) {
        views();
        copy(running.bytes, to >>> 0, goBytes, from >>> 0, n);
      },
      /** Keeps what memory and globals are now: every call begins with it. */
      keep(number, io) {
        const p = programs[number];
        try {
          p.snapshot = new Uint8Array(p.memory.buffer).slice();
          p.io = io >>> 0;
          p.saved = p.globals.map((global) => global.value);
          return returned;
        } catch (thrown) {
          fault = String(thrown);
          return failed;
        }
      },
      drop: (number) => drop(programs[number]),
      remove(number) {
        drop(programs[number]);
        programs[number] = undefined;
      },
    },
    begin(exports) {
      go = exports;
      for (const name of ["get", "put", "delete", "scan_open", "scan_next", "scan_close", "fail", "blake3", "log"]) {
        imported[name] = host(go[`skerry_${name}`]);
      }
    },
    /** Gives a compiled module a number. names are those of its own mutable globals. */
    add(module, names) {
      const free = programs.indexOf(undefined);
      const number = free < 0 ? programs.length : free;
      programs[number] = { module, names: names ? names.split(" ") : [], io: 0, used: 0, trapped: false, bytes: new Uint8Array() };
      return number;
    },
    fault: () => fault,
    live: () => live,
  };
})();

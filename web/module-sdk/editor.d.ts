// What editors need to know of the decorators by which a module is declared. The compiler reads the classes themselves.

interface __Index {
  name: string;
  columns: string[];
  unique?: boolean;
}

declare function module(given: {
  name: string; version?: string; doc?: string; io?: number; readable?: string[]; audience?: string; upgrade?: "carry" | "replay";
}): (of: Function) => void;
declare function table(name: string, given?: { key?: string[]; indexes?: __Index[]; declaredBy?: string }): (of: Function) => void;
type __Value = string | number | boolean | number[];
interface __Older {
  fields: { [name: string]: string | { type: string; given: __Value } };
  rename?: { [from: string]: string };
  drop?: string[];
  defaults?: { [name: string]: __Value };
  refused?: boolean;
}
declare function event(name: string, given?: { doc?: string; defaults?: { [name: string]: __Value }; removed?: boolean; older?: __Older[] }): (of: Function) => void;
declare function raw(of: Function): void;
declare function row(of: Function): void;
declare function params(of: Function): void;

// Of AssemblyScript's runtime, which its own types do not tell of.
declare function __new(size: usize, id: u32): usize;

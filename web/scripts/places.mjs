// The places where a function of Go can go on, which its first instructions jump to by a table: the program counters within it.
// The compiler counts one for each line of source, inlined call and jump besides; so few of the numbers that it writes into
// return addresses, jumps and tables are small, or the same in two functions.
import { is, op } from "./instructions.mjs";

const [target, stack] = [0, 1]; // locals, as in code.mjs
const dead = 1; // the place that nil checks give as their return address: nothing goes on there

/**
 * Numbers the places anew of a function that code.mjs describes, and returns what they were before: for each new program counter
 * the old one, or undefined where the function is not laid out as this knows, and stays. base is its first program counter;
 * sigpanic the number of the function that nil checks call, which never returns; deferReturn the program counter, if not 0, at which
 * it goes on after a panic; framed whether it has a frame, for which its second program counter is the first.
 *
 * Only where a call returns, where a jump goes back to, or one forward across such a place, is a number needed. All others
 * that jumps go to become blocks that begin after the last place, and have none.
 */
export function numberPlaces(f, { base, sigpanic, deferReturn, framed }) {
  const { list } = f;
  const table = list.findIndex((i) => i.op === op.brTable);
  const all = table < 0 ? [] : list[table].all;
  const loop = list.find((i) => i.op === op.loop);
  const nest = [];
  for (let k = table - 2; table > 0 && list[k].op === op.block && all.includes(list[k]); k--) nest.push(list[k]);
  const canonical = new Map(nest.map((block) => [block, all.indexOf(block)]));
  if (table > 0 && (all.length === 0 || all.some((block) => !canonical.has(block)) || all[0] !== nest[0] || list[table + 1].of !== nest[0])) return undefined;

  // What has to be a place, and what refers to it.
  const top = new Set(nest.slice(0, 1));
  const addresses = [];
  const jumps = [];
  const first = new Map(); // branches to a block: the first one
  const ends = new Map();
  const isPlace = (pc) => (table < 0 ? pc === 0 : canonical.get(all[pc]) === pc && top.add(all[pc]) !== undefined);
  for (let k = 0; k < list.length; k++) {
    const i = list[k];
    if (i.op === op.end) ends.set(i.of, k);
    if (i.op === op.br || i.op === op.brIf) {
      if (!first.has(i.to)) first.set(i.to, k);
      if (loop && i.to === loop) {
        if (i.op !== op.br || list[k - 1].op !== op.localSet || list[k - 1].n !== target || list[k - 2].op !== op.i32Const) return undefined;
        if (!isPlace(Number(list[k - 2].n))) return undefined;
        jumps.push(list[k - 2]);
      }
    } else if (i.all && k !== table) return undefined;
    if (i.n === target && (i.op === op.localTee || (i.op === op.localGet && k !== table - 1 && (list[k - 2].op !== op.localSet || list[k - 2].n !== target)))) return undefined;
    if (i.op === op.i64Const && i.n >> 16n === base >> 16n && i.n !== base) {
      if (!isReturnAddress(list, k)) return undefined;
      addresses.push(i);
      if (list[k + 3].op === op.call && list[k + 3].n === sigpanic) i.dead = true;
      else if (!isPlace(Number(i.n - base))) return undefined;
    }
  }
  if (deferReturn && !isPlace(deferReturn)) return undefined;

  // A block that a jump forward leaves begins after the last place before the jump, unless a place lies between.
  for (let grown = true; grown; ) {
    grown = false;
    for (const block of nest) {
      if (top.has(block) || !first.has(block)) continue;
      if (nest.some((place) => top.has(place) && ends.get(place) > first.get(block) && ends.get(place) < ends.get(block))) {
        top.add(block);
        grown = true;
      }
    }
  }
  const places = nest.filter((block) => top.has(block));
  const numbers = new Map(places.map((block, n) => [block, n === 0 ? 0 : n + 1]));
  const before = [0, framed ? 1 : 0, ...places.slice(1).map((block) => canonical.get(block))];
  for (const i of addresses) i.n = base + BigInt(i.dead ? dead : numbers.get(all[Number(i.n - base)]));
  for (const i of jumps) i.n = BigInt(numbers.get(all[Number(i.n)]));
  if (table < 0) return { before, deferReturn: 0 };

  const begins = new Map(places.map((block) => [ends.get(block), []]));
  let begin = [];
  const gone = new Set(nest.filter((block) => !top.has(block)));
  for (const block of nest) {
    if (top.has(block)) begins.set(ends.get(block), (begin = []));
    else if (first.has(block)) begin.unshift(block);
  }
  const unused = (i) => i.of && gone.has(i.of) && !first.has(i.of);
  f.list = list.flatMap((i, k) => [...(gone.has(i) || unused(i) ? [] : [i]), ...(begins.get(k) ?? [])]);
  list[table].all = [places[0], ...places];
  return { before, deferReturn: deferReturn && numbers.get(all[deferReturn]) };
}

/** Whether the stack pointer is made 8 less from number k on. */
export function pushes(list, k) {
  const [base, eight, sub, keep, set] = list.slice(k, k + 5);
  return is(base, op.localGet, stack) && is(eight, op.i32Const, 8) && is(sub, op.i32Sub) && is(keep, op.localTee, stack) && is(set, op.globalSet, 0);
}

/** Whether instruction k is what a call puts on the stack. Any other number of that size may be an argument, which goes to the same address. */
function isReturnAddress(list, k) {
  const [store, ...call] = list.slice(k + 1, k + 10);
  if (k < 6 || !pushes(list, k - 6) || !is(list[k - 1], op.localGet, stack) || !is(store, op.i64Store, 0)) return false;
  if (is(call[0], op.i32Const, 0)) return is(call[1], op.call);
  return is(call[3], op.localSet, target) && is(call[4], op.i32Const, 0) && is(call[5], op.localGet, target) && is(call[6], op.callIndirect);
}

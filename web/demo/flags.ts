// A face for each person: the international signal flag of their first letter.
const blue = "b", red = "r", yellow = "y", white = "w", black = "k";
const x1 = "0 0 2 0 12 10 12 12 10 12 0 2";
const x2 = "10 0 12 0 12 2 2 12 0 12 0 10";
const checks = "0 0,6 0,3 3,9 3,0 6,6 6,3 9,9 9".split(",").map((at) => `${blue} ${at} 3 3`).join("|");

/** A flag is shapes on a square of 12: a colour and 3 numbers for a disc, 4 for a rectangle, more for a polygon. */
const all = "0 0 12 12";
const flags: Readonly<Record<string, string>> = {
  A: `${white} 0 0 6 12|${blue} 6 0 6 12`,
  B: `${red} 0 0 12 0 8.5 6 12 12 0 12`,
  C: `${blue} ${all}|${white} 0 2.4 12 7.2|${red} 0 4.8 12 2.4`,
  D: `${yellow} ${all}|${blue} 0 3 12 6`,
  E: `${blue} 0 0 12 6|${red} 0 6 12 6`,
  F: `${white} ${all}|${red} 6 0 12 6 6 12 0 6`,
  G: `${yellow} ${all}|${blue} 2 0 2 12|${blue} 6 0 2 12|${blue} 10 0 2 12`,
  H: `${white} 0 0 6 12|${red} 6 0 6 12`,
  I: `${yellow} ${all}|${black} 6 6 3`,
  J: `${blue} ${all}|${white} 0 4 12 4`,
  K: `${yellow} 0 0 6 12|${blue} 6 0 6 12`,
  L: `${yellow} ${all}|${black} 6 0 6 6|${black} 0 6 6 6`,
  M: `${blue} ${all}|${white} ${x1}|${white} ${x2}`,
  N: `${white} ${all}|${checks}`,
  O: `${yellow} ${all}|${red} 0 0 12 0 12 12`,
  P: `${blue} ${all}|${white} 4 4 4 4`,
  Q: `${yellow} ${all}`,
  R: `${red} ${all}|${yellow} 5 0 2 12|${yellow} 0 5 12 2`,
  S: `${white} ${all}|${blue} 4 4 4 4`,
  T: `${red} 0 0 4 12|${white} 4 0 4 12|${blue} 8 0 4 12`,
  U: `${red} ${all}|${white} 6 0 6 6|${white} 0 6 6 6`,
  V: `${white} ${all}|${red} ${x1}|${red} ${x2}`,
  W: `${blue} ${all}|${white} 2 2 8 8|${red} 4 4 4 4`,
  X: `${white} ${all}|${blue} 5 0 2 12|${blue} 0 5 12 2`,
  Y: `${yellow} ${all}|${red} 3 0 6 0 0 6 0 3|${red} 9 0 12 0 0 12 0 9|${red} 12 3 12 6 6 12 3 12|${red} 12 9 12 12 9 12`,
  Z: `${yellow} 0 0 12 0 6 6|${blue} 12 0 12 12 6 6|${red} 12 12 0 12 6 6|${black} 0 0 6 6 0 12`,
};

/** Makes an SVG element. */
export function svg(tag: string, attributes: Readonly<Record<string, string>>, ...inside: Node[]): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

/** Returns the flag of a name. Names that begin with no Latin letter get one of the flags all the same. */
export function flagOf(name: string): SVGElement {
  const first = [...name.normalize("NFD").toUpperCase()].find((c) => /\p{L}|\p{N}/u.test(c)) ?? "Q";
  const letter = first in flags ? first : String.fromCharCode(65 + (first.codePointAt(0)! % 26));
  const shapes = flags[letter]!.split("|").map((shape) => {
    const [colour, ...n] = shape.split(" ");
    const kind = { class: `flag-${colour}` };
    if (n.length === 3) return svg("circle", { ...kind, cx: n[0]!, cy: n[1]!, r: n[2]! });
    if (n.length === 4) return svg("rect", { ...kind, x: n[0]!, y: n[1]!, width: n[2]!, height: n[3]! });
    return svg("polygon", { ...kind, points: n.join(" ") });
  });
  return svg("svg", { class: "flag", viewBox: "0 0 12 12", "aria-hidden": "true" }, ...shapes);
}

/** Where a message is, as the water in a glass: none, half, full; and a cross for what was refused. */
export type Mark = "written" | "applied" | "durable" | "synced" | "refused";

/** Returns the mark's picture. */
export function glyph(mark: Mark): SVGElement {
  const ring = svg("circle", { cx: "6", cy: "6", r: "5", class: mark === "written" || mark === "applied" ? "ring faint" : "ring" });
  const inside: Record<Mark, SVGElement[]> = {
    written: [],
    applied: [],
    durable: [svg("path", { class: "water", d: "M1 6a5 5 0 0 0 10 0z" })],
    synced: [svg("circle", { class: "water", cx: "6", cy: "6", r: "5" }), svg("path", { class: "check", d: "M3.6 6.2l1.7 1.7 3.2-3.6" })],
    refused: [svg("path", { class: "cross", d: "M4 4l4 4M8 4l-4 4" })],
  };
  return svg("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, ring, ...inside[mark]);
}

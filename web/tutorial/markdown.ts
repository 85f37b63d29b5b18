/** What a document asks its reader to do, in order. */
export type Part = Commands | Output | File | Change | Table;

/** Commands for a terminal; another one than before, if the text says so. */
export interface Commands {
  readonly kind: "commands";
  readonly line: number;
  readonly text: string;
  readonly another: boolean;
}

/** What is printed then. */
export interface Output {
  readonly kind: "output";
  readonly line: number;
  readonly lines: readonly string[];
}

/** A file as it is to be. */
export interface File {
  readonly kind: "file";
  readonly line: number;
  readonly name: string;
  readonly text: string;
}

/** A file's changes, as pieces of what was and what is. */
export interface Change {
  readonly kind: "change";
  readonly line: number;
  readonly name: string;
  readonly pieces: readonly { readonly from: string; readonly to: string }[];
}

/** What people do in pages, and what they see. */
export interface Table {
  readonly kind: "table";
  readonly line: number;
  readonly rows: readonly (readonly [who: string, does: string, sees: string])[];
}

const heading = "| who | does | sees |";

/**
 * Reads a document. Every block of code counts, and every table of who does what; anything else is text for people, of which only
 * this matters: that it names a file before the file's content comes, and says when another terminal is meant.
 */
export function read(document: string): Part[] {
  const parts: Part[] = [];
  const lines = document.split("\n");
  let said = ""; // since the last part
  for (let i = 0; i < lines.length; i++) {
    const line = i + 1;
    const opened = /^```(.*)$/.exec(lines[i]!);
    if (opened) {
      const end = lines.indexOf("```", i + 1);
      if (end < 0) throw new Error(`line ${line}: the block does not end`);
      parts.push(block(line, opened[1]!, lines.slice(i + 1, end), said));
      i = end;
      said = "";
    } else if (lines[i] === heading) {
      const rows: [string, string, string][] = [];
      for (i += 2; lines[i]?.startsWith("|"); i++) {
        const cells = lines[i]!.split("|").slice(1, -1).map((cell) => cell.trim());
        if (cells.length !== 3) throw new Error(`line ${i + 1}: a row has three cells`);
        rows.push(cells as [string, string, string]);
      }
      i--; // what ends the table is read once more
      parts.push({ kind: "table", line, rows });
      said = "";
    } else {
      said += `${lines[i]}\n`;
    }
  }
  return parts;
}

function block(line: number, info: string, lines: string[], said: string): Part {
  const [language, name] = info.split(" ");
  const text = lines.map((l) => `${l}\n`).join("");
  if (name) {
    if (!said.includes(`\`${name}\``)) throw new Error(`line ${line}: the text before does not name \`${name}\``);
    return language === "diff" ? { kind: "change", line, name, pieces: pieces(line, lines) } : { kind: "file", line, name, text };
  }
  if (language === "sh") return { kind: "commands", line, text, another: /\b(another|one more) terminal\b/.test(said) };
  if (language === "text") return { kind: "output", line, lines };
  throw new Error(`line ${line}: nobody knows what to do with a block of "${info}"`);
}

function pieces(line: number, lines: string[]): Change["pieces"] {
  const found: { from: string; to: string }[] = [{ from: "", to: "" }];
  for (const l of lines) {
    const piece = found.at(-1)!;
    if (l === "@@") found.push({ from: "", to: "" });
    else if (l.startsWith("-")) piece.from += `${l.slice(1)}\n`;
    else if (l.startsWith("+")) piece.to += `${l.slice(1)}\n`;
    else if (l === "" || l.startsWith(" ")) {
      piece.from += `${l.slice(1)}\n`;
      piece.to += `${l.slice(1)}\n`;
    } else throw new Error(`line ${line}: ${l}: a line of a change begins with a blank, - or +`);
  }
  return found;
}

/** Changes a text. Each piece has to be there exactly once. */
export function change(text: string, part: Change): string {
  for (const { from, to } of part.pieces) {
    const parts = text.split(from);
    if (parts.length !== 2) throw new Error(`line ${part.line}: ${part.name} has this ${parts.length - 1} times:\n${from}`);
    text = parts.join(to);
  }
  return text;
}

/** Returns what is behind the given lines in what was printed, or undefined while they are not all there, in order. An ellipsis is anything. */
export function behind(printed: string, lines: readonly string[]): string | undefined {
  let rest = printed;
  for (const line of lines) {
    const pattern = line.split("…").map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*");
    const found = new RegExp(`^\\s*${pattern.trimStart()}\\s*$`, "m").exec(rest);
    if (!found) return undefined;
    rest = rest.slice(found.index + found[0].length);
  }
  return rest;
}

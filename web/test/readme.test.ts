// The examples of README.md are held to the library's types.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import ts from "typescript";
import { root } from "./root.js";

const prelude = `
import { type Client, open, SkerryError, type Space, type Status, type Position } from "../../../src/index.js";
import { chat, type Chat } from "../../../test/chat.js";
declare const client: Client; declare const space: Space; declare const position: Position; declare const signal: AbortSignal;
declare const button: HTMLButtonElement; declare function render(status: Status): void;
void [open, SkerryError, chat, client, space, position, signal, button, render];
`;

test("the examples of the manual are right by their types", () => {
  const web = join(root, "web");
  const blocks = [...readFileSync(join(web, "README.md"), "utf8").matchAll(/^```ts\n(.*?)^```/gms)].map((match) => match[1]!);
  assert.ok(blocks.length >= 8);
  const dir = join(web, "node_modules", ".cache", `skerry-readme-${process.pid}`);
  mkdirSync(dir, { recursive: true });
  try {
    const files = blocks.map((block, i) => {
      const name = join(dir, `example${i}.ts`);
      const body = block.replace(/^import .*$/gm, "");
      writeFileSync(name, `${prelude}export async function example() {\n${body}\n}\n`);
      return name;
    });
    const config = ts.readConfigFile(join(web, "tsconfig.json"), ts.sys.readFile).config as { compilerOptions: object };
    const { options } = ts.convertCompilerOptionsFromJson({ ...config.compilerOptions, noEmit: true, noUnusedLocals: false }, web);
    const program = ts.createProgram([...files, join(web, "src", "globals.d.ts")], options);
    const faults = ts.getPreEmitDiagnostics(program).map((d) => {
      const at = d.file ? `${d.file.fileName}:${d.file.getLineAndCharacterOfPosition(d.start ?? 0).line + 1} ` : "";
      return at + ts.flattenDiagnosticMessageText(d.messageText, "\n");
    });
    assert.deepEqual(faults, []);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

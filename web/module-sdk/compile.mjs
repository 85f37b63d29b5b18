// Makes a module of its source: AssemblyScript, with the declarations of skerry/module.
import { encode } from "@msgpack/msgpack";
import asc from "assemblyscript/asc";
import { readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { declare } from "./declarations.mjs";

const page = 64 * 1024;
const grows = 64; // pages that a call may take beyond those that it begins with
const ioBytes = 64 * 1024; // what the ABI takes where a manifest does not say
const libraryPrefix = "~lib/"; // of the paths of what does not begin with a dot where it is imported
const library = join(dirname(fileURLToPath(import.meta.url)), "assembly");

// Of the library only this declares nothing, so that it is the same for every module.
asc.libraryFiles["skerry/module"] = read(join(library, "skerry", "module.ts"));

/**
 * Compiles the module whose source is in a file, and returns its bytes, the manifest in them included, and the manifest. The
 * same source gives the same bytes on every machine. It throws an Error with what the compiler says is wrong.
 *
 * The module's version is `version` if that is given, else what its `@module` says, else that of the nearest package.json above the file.
 */
export async function compile(file, { version } = {}) {
  const base = dirname(resolve(file));
  const entry = relative(base, resolve(file));
  const { manifest, source, files } = declare(readFileSync(file, "utf8"), entry, (name) => {
    if (name === "~lib/skerry/module.ts") return null;
    return read(name.startsWith(libraryPrefix) ? join(library, name.slice(libraryPrefix.length)) : join(base, name));
  }, (said) => version ?? said ?? packageVersion(base));
  const io = manifest.io ?? ioBytes;
  const pages = Math.ceil(io / page) + 1;
  let bytes;
  const said = [];
  const console = { write: (text) => said.push(String(text)) };
  const { error } = await asc.main(
    // What calls get lies at 0, before all else. A module that traps says nothing of where: it would be in its bytes.
    [entry, "--outFile", "module.wasm", "--runtime", "stub", "--use", "abort=", "--memoryBase", `${io}`,
      "--initialMemory", `${pages}`, "--maximumMemory", `${pages + grows}`,
      "--optimizeLevel", "3", "--shrinkLevel", "1", "--converge", "--lib", libraryPrefix],
    {
      stdout: console,
      stderr: console,
      readFile(name, from) {
        if (name === entry) return source;
        if (from === libraryPrefix) return files.get(libraryPrefix + name) ?? null;
        return files.get(name) ?? read(join(base, from ?? ".", name));
      },
      writeFile(name, content) {
        if (name.endsWith(".wasm")) bytes = content;
      },
      listFiles: () => [],
    },
  );
  if (error || !bytes) throw new Error(said.join("").trim() || String(error));
  return { bytes: withManifest(bytes, encode(manifest)), manifest };
}

/** Returns the version of the nearest package.json, from a directory upwards. */
function packageVersion(dir) {
  for (let at = dir; ; at = dirname(at)) {
    const content = read(join(at, "package.json"));
    if (content) return JSON.parse(content).version;
    if (dirname(at) === at) return undefined;
  }
}

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

/** Appends the manifest to a module's bytes, as the custom section that the host reads. */
function withManifest(bytes, manifest) {
  const name = new TextEncoder().encode("skerry.manifest");
  const length = 1 + name.length + manifest.length;
  return Buffer.concat([bytes, Buffer.from([0, ...leb(length), name.length]), name, manifest]);
}

function leb(value) {
  const bytes = [];
  for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
  return [...bytes, value];
}

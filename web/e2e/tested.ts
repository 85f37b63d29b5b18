// The engine that a test is run in: the one that SKERRY_ENGINE names (chromium, firefox or webkit).
import { chromium } from "./chromium.js";
import type { Engine, Tab } from "./engine.js";
import { firefox } from "./firefox.js";
import { webkit } from "./webkit.js";

export const name = process.env["SKERRY_ENGINE"] ?? "chromium";

const found = ([chromium, firefox, webkit] as Engine[]).find((engine) => engine.name === name);
if (!found) throw new Error(`SKERRY_ENGINE is ${name}: not chromium, firefox or webkit`);

export const engine: Engine<Tab> = found;

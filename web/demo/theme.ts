// Light or dark, before anything is drawn: a script of its own, which the page waits for. The button goes from the
// system's choice to the other one and back.
export {};

const key = "skerry-demo/theme";
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function chosen(): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage is blocked: the system's choice
  }
}

function show(): void {
  const theme = chosen();
  if (theme === "light" || theme === "dark") root.dataset["theme"] = theme;
  else delete root.dataset["theme"];
  const button = document.getElementById("theme");
  const isDark = theme ? theme === "dark" : dark.matches;
  button?.setAttribute("aria-label", isDark ? "Use light colours" : "Use dark colours");
  if (button) button.dataset["shows"] = isDark ? "dark" : "light";
}

show();
document.addEventListener("DOMContentLoaded", show);
dark.addEventListener("change", show);
addEventListener("storage", show);
document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element && event.target.closest("#theme"))) return;
  const system = dark.matches ? "dark" : "light";
  const next = (chosen() ?? system) === "dark" ? "light" : "dark";
  try {
    if (next === system) localStorage.removeItem(key);
    else localStorage.setItem(key, next);
  } catch {
    root.dataset["theme"] = next;
    return;
  }
  show();
});

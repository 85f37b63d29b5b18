import { open } from "skerry";

const parameters = new URLSearchParams(location.search);
const server = parameters.get("server"); // in an app of yours: wss://its-address/sync
const assets = parameters.get("assets"); // and https://assets.of.yours/skerry/, of whatever origin
const log = document.querySelector("#log");
const state = document.querySelector("#state");

async function main() {
  const client = await open({
    url: server,
    worker: new URL("worker.js", assets),
    wasmUrl: new URL("client.wasm", assets),
  });
  const space = await client.createSpace({ params: { name: "an example" } });
  const receipt = space.append("note", { text: "hello from the reef" });
  await receipt.durable;
  state.value = "on this device";
  receipt.synced.then(
    ({ seq }) => (state.value = `synced as ${seq} of ${space.id}`),
    (error) => (state.value = `refused: ${error.code}`),
  );

  for await (const { payload } of space.events({ live: true })) {
    const item = document.createElement("li");
    item.textContent = payload.text;
    log.append(item);
  }
}

main().catch((error) => (state.value = `failed: ${error}`));

import { open } from "skerry";

const server = new URLSearchParams(location.search).get("server"); // in an app of yours: wss://its-address/sync
const log = document.querySelector("#log");
const state = document.querySelector("#state");

async function main() {
  const client = await open({ url: server });
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

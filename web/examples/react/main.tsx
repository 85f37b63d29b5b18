import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";

const parameters = new URLSearchParams(location.search);
const url = parameters.get("server"); // in an app of yours: wss://its-address/sync

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App options={{ url }} module={parameters.get("module")} />
  </StrictMode>,
);

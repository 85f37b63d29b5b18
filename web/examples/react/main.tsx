import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";

const url = new URLSearchParams(location.search).get("server"); // in an app of yours: wss://its-address/sync

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App options={{ url }} />
  </StrictMode>,
);

import { renderToString } from "react-dom/server";
import { App } from "./app";

/** What a server sends before the page's own code runs. */
export const render = () => renderToString(<App />);

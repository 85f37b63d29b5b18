// Not run: what the package exports has types, under each name.
import { open, SkerryError, type Client, type Code, type Space } from "skerry";
import wasmUrl from "skerry/client.wasm?url";
import worker from "skerry/worker?url";
import plainWasmUrl from "skerry/client.wasm";
import plainWorker from "skerry/worker";

export const urls: string[] = [wasmUrl, worker, plainWasmUrl, plainWorker];
export const client: Promise<Client> = open({ worker, wasmUrl });
export const space = async (): Promise<Space> => (await client).createSpace({ params: {} });
export const code = (error: unknown): Code | undefined => (error instanceof SkerryError ? error.code : undefined);

// What the build puts in place of these names.
declare const __BUILD__: string;
declare const __WORKER__: string;
declare const __WASM__: string;
declare const __WASM_ID__: string;
declare const __FILES__: [name: string, integrity: string][];
declare module "wasm_exec" {}
declare module "jsengine_glue" {}

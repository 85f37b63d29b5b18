declare module "*.wasm" {
  /** The file's bytes: the build puts them into the script. */
  const bytes: Uint8Array;
  export default bytes;
}

/** The file's address, as bundlers give it to whoever imports a file that they copy. */
declare const url: string;
export default url;

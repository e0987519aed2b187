/** What a page does not have: threads of Node, folders, V8's flags. The engine imports these names and, on a GPU, calls
 * none of them; a call says so. */

function absent(what: string): () => never {
  return () => {
    throw new Error(`${what} does not exist in a browser`);
  };
}

/** node:fs */
export const constants = { O_RDONLY: 0 };
export const existsSync = (): boolean => false;
export const readFileSync = absent('node:fs');
export const readdirSync = absent('node:fs');
export const rmSync = absent('node:fs');
/** node:os */
export const availableParallelism = (): number => navigator.hardwareConcurrency;
/** node:v8 */
export const setFlagsFromString = absent('node:v8');
/** piscina */
export const Piscina = absent('piscina');

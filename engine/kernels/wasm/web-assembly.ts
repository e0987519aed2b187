/** The few names of the WebAssembly API that are used here. The types that TypeScript ships for it come with the
 * browser's; an engine for Node has no use for those. */

export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
  /** Adds pages of 64 KiB. `buffer` is another object afterwards; the old one goes on working on the old range.
   * @throws RangeError when there is no room */
  grow(pages: number): number;
}

/** Compiled code, without memory. Can be posted to a worker, which then need not compile. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: 'WebAssembly.Module';
}

interface WasmApi {
  Memory: new (limits: { initial: number; maximum: number; shared: true }) => WasmMemory;
  Module: new (bytes: Uint8Array<ArrayBuffer>) => WasmModule;
  Instance: new (module: WasmModule, imports: object) => { readonly exports: Readonly<Record<string, unknown>> };
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
}

export const WebAssemblyApi: WasmApi = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly;

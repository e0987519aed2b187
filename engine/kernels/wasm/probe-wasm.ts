/** Whether the wasm backend can run in this process, and if not, why. Leaves nothing behind. */
import { buildModule } from './emitter/module-builder.ts';
import { add } from './generators/elementwise.ts';
import { WebAssemblyApi } from './web-assembly.ts';

export type WasmProbe = { readonly available: true } | { readonly available: false; readonly reason: string };

export function probeWasm(): WasmProbe {
  if (WebAssemblyApi === undefined) return { available: false, reason: 'this process has no WebAssembly (--jitless?)' };
  if (!WebAssemblyApi.validate(buildModule([add()], 'probe'))) {
    return { available: false, reason: `V8 ${process.versions.v8} has no WebAssembly SIMD or no shared memory` };
  }
  try {
    new WebAssemblyApi.Memory({ initial: 1, maximum: 1, shared: true });
    return { available: true };
  } catch (error) {
    return { available: false, reason: `no WebAssembly memory can be had: ${(error as Error).message}` };
  }
}

/** gpu.js as a module: its browser build is a script that leaves a global, under the name of WebGPU's own. */

const { WebGPUKernel } = (globalThis as unknown as { readonly GPU: { readonly WebGPUKernel: unknown } }).GPU;

export { WebGPUKernel };

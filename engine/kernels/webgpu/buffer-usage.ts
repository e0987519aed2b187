/** WebGPU's numbers for what a buffer may be used for. A browser has them as the global `GPUBufferUsage`; in Node they
 * would have to be put there, and a library leaves its host's globals alone.
 * Source  WebGPU, section 5.1.2 (buffer usages) and 5.1.5 (map modes) */
export const BUFFER_USAGE = {
  mapRead: 0x0001,
  copySource: 0x0004,
  copyTarget: 0x0008,
  uniform: 0x0040,
  storage: 0x0080,
} as const;

export const MAP_MODE_READ = 0x0001;

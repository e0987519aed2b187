/** `createRequire` of `node:module`, for the one thing that is required: which gpu.js is installed. */
import manifest from 'gpu.js/package.json' with { type: 'json' };

export function createRequire(): (path: string) => unknown {
  return (path) => {
    if (path === 'gpu.js/package.json') return manifest;
    throw new Error(`${path} cannot be required in a browser`);
  };
}

/** The package `webgpu` brings to Node what a browser has. */

export function create(): GPU {
  if (navigator.gpu === undefined) throw new Error('this browser has no WebGPU');
  return navigator.gpu;
}

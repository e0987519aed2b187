/** What a compute shader is to the recorder: its code and how its arguments are bound. Plain data, whoever wrote the WGSL
 * (a person in `webgpu/`, a compiler in `gpujs/`). Knows no device. */

/** How a kernel sees one argument. 'uniform' is the small struct of numbers that each dispatch brings along; at most one
 * binding may be it. */
export type GpuBindingKind = 'uniform' | 'read' | 'read_write';

export interface GpuKernel {
  /** Names the kernel and its variant in errors and captures. */
  readonly label: string;
  /** WGSL. Binding i of group 0 is `bindings[i]`. */
  readonly code: string;
  readonly entryPoint: string;
  readonly bindings: readonly GpuBindingKind[];
}

/** A range of a buffer as a storage binding. */
export interface GpuSlice {
  readonly buffer: GPUBuffer;
  /** A multiple of the device's `minStorageBufferOffsetAlignment`. */
  readonly byteOffset: number;
  /** A multiple of 4. */
  readonly byteLength: number;
}

/** One run of a kernel. */
export interface GpuDispatch {
  /** Storage arguments, in the order of the kernel's bindings that are not 'uniform'. */
  readonly storage: readonly GpuSlice[];
  /** The bytes of the uniform struct, as WGSL lays it out. Absent for a kernel without one. */
  readonly params?: Uint32Array | undefined;
  /** Workgroups in x, y and z, each at most `maxComputeWorkgroupsPerDimension`. */
  readonly workgroups: readonly [number, number, number];
}

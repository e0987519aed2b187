/** How backends take part in worker threads: what the calling thread posts, and what a worker makes of it. One entry per
 * backend that computes on host threads; a backend that does its work elsewhere (a GPU) has none. */
import { UnsupportedError } from '../errors.ts';
import type { BufferHandle, Tensor } from '../tensor/tensor.ts';
import type { KernelBackend, KernelOps } from './kernel-backend.ts';
import type { PartOfThreads } from './part.ts';
import { floatsOf, REFERENCE_OWNER } from './reference/host-memory.ts';
import { hostBufferCodec, referencePartOps } from './reference/reference-part-ops.ts';
import type { PackJob } from './wasm/packing/pack-rows.ts';
import type { WasmBackend } from './wasm/wasm-backend.ts';
import { WASM_OWNER } from './wasm/wasm-buffer.ts';
import { attachWasm, runWasmJob, viewOf, type WasmAttachment, WasmParts, wasmBufferCodec } from './wasm/wasm-worker.ts';

/** A buffer handle as something that survives a message with its memory shared, and back. */
export interface BufferCodec {
  encode(buffer: BufferHandle): unknown;
  decode(encoded: unknown): BufferHandle;
}

/** What a worker works with. */
export interface WorkerBackend {
  readonly codec: BufferCodec;
  /** Runs ops as one of several threads: its part of each, meeting the others where one needs what another writes. What was
   * made of the ops may be remembered, as with `KernelBackend.repeat`. */
  repeat(program: object, size: string, thread: PartOfThreads, ops: (ops: KernelOps) => void): void;
  /** The values of an f32 tensor in place. */
  view(tensor: Tensor): Float32Array;
  /** Does a job that `KernelBackend.loadWeight` handed to `offload`. */
  runJob(job: unknown): unknown;
}

/** Survives a message: plain data, shared memory and compiled modules. */
export interface WorkerMessage {
  readonly backend: string;
  readonly attachment: unknown;
}

interface WorkerBackendEntry {
  readonly codec: BufferCodec;
  /** On the calling thread. */
  attachmentOf(backend: KernelBackend): unknown;
  /** On the worker, once. */
  attach(attachment: unknown): Omit<WorkerBackend, 'codec'>;
}

const ENTRIES: Readonly<Record<string, WorkerBackendEntry>> = {
  [REFERENCE_OWNER]: {
    codec: hostBufferCodec,
    attachmentOf: () => undefined,
    attach: () => ({
      repeat: (_program, _size, { part, gate }, ops) => ops(referencePartOps(part, gate)),
      view: floatsOf,
      runJob: noJobs,
    }),
  },
  [WASM_OWNER]: {
    codec: wasmBufferCodec,
    attachmentOf: (backend) => (backend as WasmBackend).attachment,
    attach: (attachment) => {
      const machines = attachWasm(attachment as WasmAttachment);
      const parts = new WasmParts(machines);
      return {
        repeat: (program, size, thread, ops) => parts.repeat(program, size, thread, ops),
        view: (tensor) => viewOf(machines, tensor),
        runJob: (job) => runWasmJob(machines, job as PackJob),
      };
    },
  },
};

/** Of a backend that takes weights as they are. */
function noJobs(): never {
  throw new UnsupportedError('a job on a worker thread', 'this backend has none');
}

/** Whether worker threads can take part in the backend's ops. If not, its ops compute elsewhere anyway. */
export function sharesWithWorkers(backend: KernelBackend): boolean {
  return Object.hasOwn(ENTRIES, backend.name);
}

/** @throws UnsupportedError for a backend that worker threads cannot share */
function entryOf(name: string): WorkerBackendEntry {
  const entry = ENTRIES[name];
  if (entry === undefined) throw new UnsupportedError(`backend ${name} on worker threads`, 'use numThreads: 0');
  return entry;
}

/** What to post, and how to encode buffers for it. */
export function workerMessage(backend: KernelBackend): {
  readonly message: WorkerMessage;
  readonly codec: BufferCodec;
} {
  const { codec, attachmentOf } = entryOf(backend.name);
  return { message: { backend: backend.name, attachment: attachmentOf(backend) }, codec };
}

/** The worker's side of `workerMessage`. */
export function attachWorkerBackend({ backend, attachment }: WorkerMessage): WorkerBackend {
  const { codec, attach } = entryOf(backend);
  return { codec, ...attach(attachment) };
}

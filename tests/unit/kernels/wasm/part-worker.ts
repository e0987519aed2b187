/** A worker thread of the multi-threading test: runs its part of each op of a list, and meets the others after each. */
import { parentPort, workerData } from 'node:worker_threads';
import type { OpName } from '../../../../engine/kernels/ops.ts';
import {
  attachWasm,
  type WasmAttachment,
  wasmBufferCodec,
  wasmPartOps,
} from '../../../../engine/kernels/wasm/wasm-worker.ts';
import { Barrier } from '../../../../engine/runner/barrier.ts';
import type { DType } from '../../../../engine/tensor/dtype.ts';
import { Tensor } from '../../../../engine/tensor/tensor.ts';

/** A tensor as a message holds it. */
export interface SentTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly buffer: unknown;
}

export interface SentCall {
  readonly op: OpName;
  readonly args: Readonly<Record<string, unknown>>;
  /** Neighbours with the same name here run together. */
  readonly together?: string | undefined;
}

export interface PartWorkerData {
  readonly attachment: WasmAttachment;
  readonly calls: readonly SentCall[];
  readonly part: number;
  readonly numThreads: number;
  readonly barrier: SharedArrayBuffer;
}

const { attachment, calls, part, numThreads, barrier: words } = workerData as PartWorkerData;
const barrier = new Barrier(numThreads, words);
const ops = wasmPartOps(attachWasm(attachment), { index: part, count: numThreads }, barrier);
for (let i = 0; i < calls.length; ) {
  const { together } = calls[i]!;
  if (together === undefined) {
    run(calls[i++]!);
    continue;
  }
  ops.together!(() => {
    while (calls[i]?.together === together) run(calls[i++]!);
  });
}
parentPort!.postMessage('done');

function run({ op, args }: SentCall): void {
  const entries = Object.entries(args).map(([name, value]) => [name, isSent(value) ? receive(value) : value]);
  ops[op](Object.fromEntries(entries) as never);
}

function isSent(value: unknown): value is SentTensor {
  return typeof value === 'object' && value !== null && 'buffer' in value;
}

function receive({ dtype, shape, buffer }: SentTensor): Tensor {
  return new Tensor(dtype, shape, wasmBufferCodec.decode(buffer));
}

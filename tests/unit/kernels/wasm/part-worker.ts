/** A worker thread of the multi-threading test: runs its part of each op of a list. */
import { parentPort, workerData } from 'node:worker_threads';
import type { OpName } from '../../../../engine/kernels/ops.ts';
import {
  attachWasm,
  type WasmAttachment,
  WasmParts,
  wasmBufferCodec,
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
}

export interface PartWorkerData {
  readonly attachment: WasmAttachment;
  readonly calls: readonly SentCall[];
  readonly part: number;
  readonly numThreads: number;
  readonly barrier: SharedArrayBuffer;
}

const { attachment, calls, part, numThreads, barrier: words } = workerData as PartWorkerData;
const thread = { part: { index: part, count: numThreads }, gate: new Barrier(numThreads, words) };
new WasmParts(attachWasm(attachment)).repeat({}, '', thread, (ops) => {
  for (const { op, args } of calls) {
    const entries = Object.entries(args).map(([name, value]) => [name, isSent(value) ? receive(value) : value]);
    ops[op](Object.fromEntries(entries) as never);
  }
});
parentPort!.postMessage('done');

function isSent(value: unknown): value is SentTensor {
  return typeof value === 'object' && value !== null && 'buffer' in value;
}

function receive({ dtype, shape, buffer }: SentTensor): Tensor {
  return new Tensor(dtype, shape, wasmBufferCodec.decode(buffer));
}

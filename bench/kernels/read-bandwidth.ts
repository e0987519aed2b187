/** What several threads together can read from memory: the limit of decoding, whose weights pass by once per token.
 *
 *   node bench/kernels/read-bandwidth.ts [--threads N] [--json]
 *
 * Each thread reads a part of its own of one shared memory, with the loop that the kernels are compared with
 * (roofline.ts); all begin together, and the slowest counts. The median of 15 repetitions for 1 to N threads. */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type WasmMemory, WebAssemblyApi } from '../../engine/kernels/wasm/web-assembly.ts';
import { availableThreads } from '../../engine/util/cpu-quota.ts';
import { readFlags } from '../lib/flags.ts';
import { newRoofline } from './roofline.ts';

const MIB = 1024 * 1024;
const FIRST_BYTE = MIB;
const BYTES_PER_THREAD = 512 * MIB;
const REPETITIONS = 15;
const FLAGS = ['--no-liftoff', '--no-wasm-lazy-compilation', '--experimental-wasm-revectorize'];

interface Share {
  readonly memory: WasmMemory;
  readonly thread: number;
}

if (isMainThread) await main();
else serve(workerData as Share);

async function main(): Promise<void> {
  const { values } = readFlags(import.meta.filename, {
    threads: { type: 'string' },
    json: { type: 'boolean', default: false },
  });
  const numThreads = values.threads === undefined ? availableThreads() : Number(values.threads);
  if (!Number.isInteger(numThreads) || numThreads < 1 || numThreads > 7) throw new Error('--threads must be 1 to 7');
  const pages = (FIRST_BYTE + numThreads * BYTES_PER_THREAD) / 65_536;
  const memory = new WebAssemblyApi.Memory({ initial: pages, maximum: pages, shared: true });
  // Pages that were never written all read the same zeros, from the cache.
  new Uint32Array(memory.buffer).fill(0x3f800000);
  const workers: Worker[] = [];
  for (let thread = 0; thread < numThreads; thread++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { memory, thread } satisfies Share });
    workers.push(worker);
    // One after the other, as each sets V8's flags while it compiles.
    await once(worker, 'message');
  }
  for (let count = 1; count <= numThreads; count++) {
    const samples: number[] = [];
    for (let i = 0; i < REPETITIONS; i++) samples.push(await readTogether(workers.slice(0, count)));
    const [median, max] = [samples.toSorted((a, b) => a - b)[REPETITIONS >> 1]!, Math.max(...samples)];
    if (values.json) console.log(JSON.stringify({ benchmark: 'read-bandwidth', threads: count, median, max, samples }));
    else console.log(`${count} threads  ${median.toFixed(1)} GB/s  (best ${max.toFixed(1)})`);
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
}

/** @returns GB/s */
async function readTogether(workers: readonly Worker[]): Promise<number> {
  const startMs = performance.now();
  await Promise.all(
    workers.map((worker) => {
      worker.postMessage('read');
      return once(worker, 'message');
    }),
  );
  return (workers.length * BYTES_PER_THREAD) / (performance.now() - startMs) / 1e6;
}

function serve({ memory, thread }: Share): void {
  const roofline = newRoofline(memory, FLAGS);
  parentPort!.on('message', () => {
    roofline.read(FIRST_BYTE + thread * BYTES_PER_THREAD, BYTES_PER_THREAD);
    parentPort!.postMessage('done');
  });
  parentPort!.postMessage('ready');
}

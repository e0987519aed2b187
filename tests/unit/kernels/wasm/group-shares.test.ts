/** How a matmul's rows are divided among threads: each once, whatever an earlier division left behind. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TICKETS_ADDRESS } from '../../../../engine/kernels/wasm/linear-memory.ts';
import type { Machine } from '../../../../engine/kernels/wasm/machine.ts';
import { AttentionPlans } from '../../../../engine/kernels/wasm/ops/attention-plan.ts';
import { divideGroups } from '../../../../engine/kernels/wasm/ops/group-shares.ts';
import { OwnRows } from '../../../../engine/kernels/wasm/ops/own-rows.ts';
import { PackedActivations } from '../../../../engine/kernels/wasm/ops/packed-activations.ts';
import { WasmBackend } from '../../../../engine/kernels/wasm/wasm-backend.ts';
import { attachWasm, WasmParts } from '../../../../engine/kernels/wasm/wasm-worker.ts';

function divide(numGroups: number, count: number, generation: number, stale: number, numJoined = 3): number[][] {
  const ints = new Int32Array(new SharedArrayBuffer(TICKETS_ADDRESS + 64));
  ints[TICKETS_ADDRESS / 4 + numJoined] = stale;
  const machine = { memory: { ints } } as unknown as Machine;
  const [packed, own] = [new PackedActivations(), new OwnRows()];
  return Array.from({ length: count }, (_, index) => {
    const groups: number[] = [];
    const part = { index, count };
    const notes = { packed, own, plans: new AttentionPlans(part) };
    divideGroups(machine, numGroups, { part, generation, numJoined, meet: () => {}, ...notes }, ({ first, end }) => {
      for (let group = first; group < end; group++) groups.push(group);
    });
    return groups;
  });
}

it('a generation that comes again finds no tickets taken', async () => {
  const backend = new WasmBackend();
  const weight = backend.allocate('f32', [160, 32], 'weights');
  const [x, out] = [backend.allocate('f32', [1, 32], 'scratch'), backend.allocate('f32', [1, 160], 'scratch')];
  backend.upload(weight, new Float32Array(weight.numElements).fill(1));
  backend.upload(x, new Float32Array(32).fill(1));
  const parts = new WasmParts(attachWasm(backend.attachment));
  for (const generation of [7, 7 + 2 ** 20]) {
    backend.upload(out, new Float32Array(160));
    for (const index of [1, 0]) {
      const thread = { part: { index, count: 2 }, gate: { generation, wait: () => {} } };
      parts.repeat(backend, '', thread, (ops) => ops.matmul({ x, weight, bias: undefined, out }));
    }
    expect(await backend.download(out)).toEqual(new Float32Array(160).fill(32));
  }
  await backend.close();
});

describe('divideGroups', () => {
  it('gives every group to one thread, whatever word the last division left', () => {
    fc.assert(
      fc.property(
        fc.record({
          numGroups: fc.nat(300),
          count: fc.integer({ min: 1, max: 9 }),
          generation: fc.oneof(fc.nat(5), fc.integer({ min: 2 ** 19 - 2, max: 2 ** 19 + 2 }), fc.constant(2 ** 31 - 1)),
          ticketsOfTheLast: fc.nat(4095),
        }),
        ({ numGroups, count, generation, ticketsOfTheLast }) => {
          const stale = ((generation - 1) << 12) | ticketsOfTheLast;
          const all = divide(numGroups, count, generation, stale).flat();
          expect(all.toSorted((a, b) => a - b)).toEqual(Array.from({ length: numGroups }, (_, i) => i));
        },
      ),
    );
  });

  it('leaves a quarter to whoever is ready: here the first, as it runs before the others', () => {
    const shares = divide(160, 2, 7, 0);
    expect(shares.map((groups) => groups.length)).toEqual([100, 60]);
  });
});

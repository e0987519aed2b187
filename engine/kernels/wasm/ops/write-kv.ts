/** writeKv: keys to lanes of strips, values to their rows, or both to the rows of pages without strips (kv-pages.ts). A part
 * is a range of (token, KV head) rows, as in rope. */
import type { Tensor } from '../../../tensor/tensor.ts';
import { checkSlots } from '../../check-indices.ts';
import { partEnd, partStart } from '../../part.ts';
import { STRIP } from '../generators/attention-scratch.ts';
import { ROW_FORMATS } from '../generators/row-formats.ts';
import type { Machine } from '../machine.ts';
import { noteSpecials } from '../specials-note.ts';
import { addressOf, byteAddressOf } from '../wasm-buffer.ts';
import { intsIn } from './index-inputs.ts';
import { areNative, type KvPages, kvPages, levelPutters } from './kv-pages.ts';
import type { NativeOp } from './native-op.ts';

export const writeKv: NativeOp<'writeKv'> = {
  takes: ({ keyCache, valueCache }) => areNative(keyCache, valueCache),
  unitsOf: ({ k }) => k.shape[0]! * k.shape[1]!,
  run(machine, { k, v, keyCache, valueCache, slotMapping }, { part }) {
    const [numTokens, numKvHeads] = k.shape as [number, number];
    const pages = kvPages(keyCache);
    const slots = intsIn(machine.memory, slotMapping);
    checkSlots(slots, keyCache.shape[0]! * pages.blockSize);
    const [storeKey, storeValue] = writersFor(machine, pages);
    const [keys, values] = [placesOf(k, keyCache), placesOf(v, valueCache)];
    const end = partEnd(numTokens * numKvHeads, part);
    let [specialKeys, specialValues] = [0, 0];
    for (let row = partStart(numTokens * numKvHeads, part); row < end; row++) {
      const slot = slots[Math.floor(row / numKvHeads)]!;
      if (slot === -1) continue;
      const source = row * pages.headDim * 4;
      const block = Math.floor(slot / pages.blockSize);
      const target = block * pages.blockBytes + (row % numKvHeads) * pages.headBytes;
      specialKeys |= storeKey(keys.source + source, keys.target + target, slot % pages.blockSize);
      specialValues |= storeValue(values.source + source, values.target + target, slot % pages.blockSize);
    }
    if (specialKeys !== 0) noteSpecials(machine.memory, keyCache);
    if (specialValues !== 0) noteSpecials(machine.memory, valueCache);
  },
};

function placesOf(rows: Tensor, cache: Tensor) {
  return { source: addressOf(rows), target: byteAddressOf(cache) };
}

/** Stores the f32 row at `source` as token `slot` of the head's part of a page at `target`.
 * @returns not 0 when it stored an f16 that is an infinity or NaN */
type Writer = (source: number, target: number, slot: number) => number;

function writersFor(machine: Machine, pages: KvPages): [key: Writer, value: Writer] {
  if (!pages.inStrips) return [rowWriter(machine, pages), rowWriter(machine, pages)];
  return pages.dtype === 'q8_0' ? levelWriters(machine, pages) : numberWriters(machine, pages);
}

function rowWriter({ memory, kernels }: Machine, { dtype, headDim, rowBytes }: KvPages): Writer {
  if (dtype === 'f32') {
    const { bytes } = memory;
    return (source, target, slot) => {
      bytes.copyWithin(target + slot * rowBytes, source, source + rowBytes);
      return 0;
    };
  }
  const store = kernels[`store_row_${dtype}`]!;
  const count = headDim / ROW_FORMATS[dtype].blockElements;
  return (source, target, slot) => store(source, target + slot * rowBytes, count);
}

function numberWriters({ kernels }: Machine, { dtype, headDim, stripBytes }: KvPages): [key: Writer, value: Writer] {
  const [storeKey, storeValue] = [kernels[`store_lane_${dtype}`]!, kernels[`store_value_${dtype}`]!];
  const { bytesPerBlock } = ROW_FORMATS[dtype];
  return [
    (source, target, slot) =>
      storeKey(source, stripAt(target, slot, stripBytes) + (slot % STRIP) * bytesPerBlock, headDim),
    (source, target, slot) =>
      storeValue(source, stripAt(target, slot, stripBytes) + (slot % STRIP) * STRIP * bytesPerBlock, headDim / STRIP),
  ];
}

function levelWriters({ kernels }: Machine, { headDim, stripBytes }: KvPages): [key: Writer, value: Writer] {
  const [putKey, putValue] = levelPutters(kernels.store_lane_q8_0!, kernels.store_value_q8_0!, headDim);
  return [
    (source, target, slot) => putKey(source, stripAt(target, slot, stripBytes), slot % STRIP),
    (source, target, slot) => putValue(source, stripAt(target, slot, stripBytes), slot % STRIP),
  ];
}

const stripAt = (target: number, slot: number, stripBytes: number): number =>
  target + Math.floor(slot / STRIP) * stripBytes;

/** How a row of D keys or values is read from and written to a page, by the cache's dtype. Pages lie as the op contract
 * names their shape, [B, NKV, BS, D], each row encoded by itself. Rows of f16 and q8_0 need not end at whole words, so
 * two threads may write to the same word: they do it with atomics. */
import type { KV_DTYPES } from '../../ops.ts';

export type KvDType = (typeof KV_DTYPES)[number];

export interface KvFormat {
  /** Elements that one thread writes. */
  readonly elementsPerWrite: number;
  /** Declares `fn NAME_at(row: u32, d: u32) -> f32` for a cache bound as `NAME: array<u32>`, where a row has `head_dim()`
   * elements. */
  readCode(name: string): string;
  /** The same four at a time, for heads of a multiple of 4 elements: `fn NAME_vec4(row: u32, j: u32) -> vec4<f32>`, elements 4j on,
   * of a cache bound as `NAME: array<TYPE>`. Absent: rows do not begin at whole words. */
  readonly vectors?: { readonly type: string; readCode(name: string): string };
  /** Declares `fn store(row: u32, unit: u32, input_start: u32)`: writes elements `unit * elementsPerWrite` on, of a row of the
   * cache bound as `cache: array<atomic<u32>>`, from `input[input_start]` on. */
  readonly writeCode: string;
}

/** Puts 16 bits into half i of the cache. */
const STORE_HALF = /* wgsl */ `
fn store_half(index: u32, bits: u32) {
  let shift = (index & 1u) * 16u;
  atomicAnd(&cache[index >> 1u], ~(0xffffu << shift));
  atomicOr(&cache[index >> 1u], (bits & 0xffffu) << shift);
}
`;

const F32_KV: KvFormat = {
  elementsPerWrite: 1,
  vectors: {
    type: 'vec4<u32>',
    readCode: (name) => /* wgsl */ `
fn ${name}_vec4(row: u32, j: u32) -> vec4<f32> { return bitcast<vec4<f32>>(${name}[row * (head_dim() / 4u) + j]); }
`,
  },
  readCode: (name) => /* wgsl */ `
fn ${name}_at(row: u32, d: u32) -> f32 { return bitcast<f32>(${name}[row * head_dim() + d]); }
`,
  writeCode: /* wgsl */ `
fn store(row: u32, unit: u32, input_start: u32) { atomicStore(&cache[row * p.head_dim + unit], bitcast<u32>(input[input_start])); }
`,
};

const F16_KV: KvFormat = {
  elementsPerWrite: 1,
  vectors: {
    type: 'vec2<u32>',
    readCode: (name) => /* wgsl */ `
fn ${name}_vec4(row: u32, j: u32) -> vec4<f32> {
  let words = ${name}[row * (head_dim() / 4u) + j];
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}
`,
  },
  readCode: (name) => /* wgsl */ `
fn ${name}_at(row: u32, d: u32) -> f32 {
  let i = row * head_dim() + d;
  return unpack2x16float(${name}[i >> 1u])[i & 1u];
}
`,
  writeCode: /* wgsl */ `${STORE_HALF}
fn store(row: u32, unit: u32, input_start: u32) {
  store_half(row * p.head_dim + unit, pack2x16float(vec2<f32>(input[input_start], 0.0)));
}
`,
};

/** A quant block is 17 halves: the scale, then 32 signed bytes. */
const Q8_0_KV: KvFormat = {
  elementsPerWrite: 32,
  readCode: (name) => /* wgsl */ `
fn ${name}_half(index: u32) -> u32 { return (${name}[index >> 1u] >> ((index & 1u) * 16u)) & 0xffffu; }

fn ${name}_at(row: u32, d: u32) -> f32 {
  let block = (row * (head_dim() / 32u) + d / 32u) * 17u;
  let scale = unpack2x16float(${name}_half(block)).x;
  let pair = ${name}_half(block + 1u + (d % 32u) / 2u);
  return scale * f32(extractBits(bitcast<i32>(pair), (d & 1u) * 8u, 8u));
}
`,
  writeCode: /* wgsl */ `${STORE_HALF}
fn store(row: u32, unit: u32, input_start: u32) {
  let block = (row * (p.head_dim / 32u) + unit) * 17u;
  var largest = 0.0;
  for (var i = 0u; i < 32u; i++) { largest = max(largest, abs(input[input_start + i])); }
  let scale = largest / 127.0;
  let inverse = select(0.0, 1.0 / scale, scale != 0.0);
  store_half(block, pack2x16float(vec2<f32>(scale, 0.0)));
  for (var i = 0u; i < 16u; i++) {
    let low = u32(i32(round(input[input_start + 2u * i] * inverse))) & 255u;
    let high = u32(i32(round(input[input_start + 2u * i + 1u] * inverse))) & 255u;
    store_half(block + 1u + i, low | (high << 8u));
  }
}
`,
};

export const KV_FORMATS: Readonly<Record<KvDType, KvFormat>> = { f32: F32_KV, f16: F16_KV, q8_0: Q8_0_KV };

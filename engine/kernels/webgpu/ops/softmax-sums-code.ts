/** The WGSL of softmaxSums. Its sums must be right to 2^-44, which f32 is not, and WGSL lets a compiler reorder the f32 tricks
 * that would make up for it. Whole numbers it must leave as they are: so everything here is fixed point, 64 bits in two words.
 *
 *   d = (m - logit) * 2^s        6.58 bits     1 / T = f * 2^s, f from 1 up to 2; terms with (m - logit) / T > 45 are 0
 *   z = d * f * log2(e)          8.56 bits     n + i / 16 + r: a shift, an entry of a table, and what is left
 *   e^-(r ln 2)                  1.63 bits     its series: r ln 2 is less than 0.044, so nine terms will do
 *   sum                         33.63 bits     exact, so in any order; at least 1, as the largest term is
 *
 * A term lacks at most some 2^-55 of itself, and so does the sum. */
import { FLAT_GROUP } from '../op-context.ts';

/** Threads of a workgroup, which does one segment. */
const THREADS = 64;

/** Queries of one dispatch: what is known of each is in its params. */
export const MAX_QUERIES = 32;

/** 64 bits as WGSL holds them: the low word first. */
const words = (value: bigint): string => `vec2<u32>(${value & 0xffff_ffffn}u, ${value >> 32n}u)`;

const LOG2_E = 0xb8aa_3b29_5c17_f0bbn; // * 2^-63
const LN_2 = 0xb172_17f7_d1cf_79abn; // * 2^-64

/** 2^(-i / 16) * 2^63. */
const POWERS: readonly bigint[] = [
  ...[0x8000_0000_0000_0000n, 0x7a92_be8a_9243_6616n, 0x7560_6373_ee92_1c97n, 0x7066_6f76_154a_7088n],
  ...[0x6ba2_7e65_6b4e_b57an, 0x6712_460a_8fc2_4071n, 0x62b3_9508_aa83_6d6en, 0x5e84_51cf_ac06_1b5fn],
  ...[0x5a82_7999_fcef_3242n, 0x56ac_1f75_2150_a563n, 0x52ff_6b54_d8a8_9c75n, 0x4f7a_9930_48d0_88d6n],
  ...[0x4c1b_f828_c6dc_54b7n, 0x48e1_e9b9_d588_e19bn, 0x45ca_e0f1_f545_eb73n, 0x42d5_61b3_e624_3d8an],
];

const LAST_TERM = 9;
const ONE = 1n << 63n;

/** Products and sums of 64 bits. */
const ARITHMETIC = /* wgsl */ `
fn add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2<u32>(low, a.y + b.y + u32(low < a.x));
}

fn subtract(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return vec2<u32>(a.x - b.x, a.y - b.y - u32(a.x < b.x)); }

/** All 64 bits of a product of 32. */
fn product(a: u32, b: u32) -> vec2<u32> {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let one = (a & 0xffffu) * (b >> 16u);
  let other = (a >> 16u) * (b & 0xffffu);
  let middle = (low >> 16u) + (one & 0xffffu) + (other & 0xffffu);
  let high = (a >> 16u) * (b >> 16u) + (one >> 16u) + (other >> 16u) + (middle >> 16u);
  return vec2<u32>((middle << 16u) | (low & 0xffffu), high);
}

/** The upper 64 of the 128 bits of a product. */
fn multiply(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let one = product(a.x, b.y);
  let other = product(a.y, b.x);
  let middle = add(add(vec2<u32>(product(a.x, b.x).y, 0u), vec2<u32>(one.x, 0u)), vec2<u32>(other.x, 0u));
  let high = add(product(a.y, b.y), vec2<u32>(middle.y, 0u));
  return add(add(high, vec2<u32>(one.y, 0u)), vec2<u32>(other.y, 0u));
}

fn shift_right(a: vec2<u32>, by: u32) -> vec2<u32> {
  if (by == 0u) { return a; }
  if (by >= 64u) { return vec2<u32>(0u); }
  if (by >= 32u) { return vec2<u32>(a.y >> (by - 32u), 0u); }
  return vec2<u32>((a.x >> by) | (a.y << (32u - by)), a.y >> by);
}

/** Less than 2^24, to the left by so much, modulo 2^64; to the right by less than 0. */
fn shifted(a: u32, by: i32) -> vec2<u32> {
  if (by <= -32 || by >= 64) { return vec2<u32>(0u); }
  if (by <= 0) { return vec2<u32>(a >> u32(-by), 0u); }
  if (by >= 32) { return vec2<u32>(0u, a << u32(by - 32)); }
  return vec2<u32>(a << u32(by), a >> u32(32 - by));
}
`;

const TERM = /* wgsl */ `
/** An f32 times 2^(58 + s), modulo 2^64: of two that are near each other the difference is right, however large both are. */
fn fixed(bits: u32, s: i32) -> vec2<u32> {
  let exponent = (bits >> 23u) & 255u;
  let mantissa = (bits & 0x7fffffu) | (u32(exponent != 0u) << 23u);
  let magnitude = shifted(mantissa, i32(max(exponent, 1u)) - 150 + 58 + s);
  if ((bits >> 31u) == 1u) { return subtract(vec2<u32>(0u), magnitude); }
  return magnitude;
}

/** e^((logit - largest) / T), times 2^63. */
fn term(logit: u32, largest: u32, query: vec4<u32>) -> vec2<u32> {
  // By a quarter of each, so that their difference is finite.
  if (bitcast<f32>(largest) * 0.25 - bitcast<f32>(logit) * 0.25 > bitcast<f32>(query.w)) { return vec2<u32>(0u); }
  let s = bitcast<i32>(query.z);
  let d = subtract(fixed(largest, s), fixed(logit, s));
  // Equal but for what was cut off, and a little below 0.
  if (d.y >= 0xf0000000u) { return ${words(ONE)}; }
  let z = multiply(multiply(d, query.xy), ${words(LOG2_E)});
  let rest = vec2<u32>(z.x << 8u, ((z.y & 0xfffffu) << 8u) | (z.x >> 24u));
  let t = multiply(rest, ${words(LN_2)});
  var result = ${words(ONE)};
  for (var k = ${LAST_TERM}u; k > 0u; k--) {
    result = subtract(${words(ONE)}, multiply(multiply(t, result), RECIPROCALS[k]));
  }
  let half = multiply(result, POWERS[(z.y >> 20u) & 15u]);
  return shift_right(vec2<u32>(half.x << 1u, (half.y << 1u) | (half.x >> 31u)), z.y >> 24u);
}
`;

/** 2^64 / k; the one for 1 is as near as 64 bits allow. */
function reciprocals(): string {
  const all = Array.from({ length: LAST_TERM }, (_, i) => words(((1n << 64n) - 1n) / BigInt(i + 1)));
  return `const RECIPROCALS = array<vec2<u32>, ${LAST_TERM + 1}>(vec2<u32>(0u), ${all.join(', ')});`;
}

export const SOFTMAX_SUMS_CODE = /* wgsl */ `
struct Params {
  units: u32, segments: u32, segment_size: u32, width: u32, logits_start: u32, rows_start: u32, out_start: u32, padding: u32,
  /** f * 2^63, low and high word; s; and 45 T / 4 as f32. */
  queries: array<vec4<u32>, ${MAX_QUERIES}>,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
const POWERS = array<vec2<u32>, 16>(${POWERS.map(words).join(', ')});
${reciprocals()}
${FLAT_GROUP}${ARITHMETIC}${TERM}
var<workgroup> keys: array<u32, ${THREADS}>;
/** 96 bits, the low word first. */
var<workgroup> sums: array<vec3<u32>, ${THREADS}>;

/** Whole numbers in the order of the logits; both zeros are equal, and NaN is -Infinity. */
fn key_of(logit: u32) -> u32 {
  var bits = logit;
  if ((bits & 0x7fffffffu) > 0x7f800000u) { bits = 0xff800000u; }
  if (bits == 0x80000000u) { bits = 0u; }
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn is_finite(bits: u32) -> bool { return (bits & 0x7f800000u) != 0x7f800000u; }

fn add_long(a: vec3<u32>, b: vec3<u32>) -> vec3<u32> {
  let low = add(a.xy, b.xy);
  let carry = u32(low.y < a.y || (low.y == a.y && low.x < a.x));
  return vec3<u32>(low, a.z + b.z + carry);
}

/** The upper 24 bits of a sum of at least 2^63, and the next 24, as what they are of 2^63. */
fn in_two_floats(sum: vec3<u32>) -> vec2<f32> {
  let shift = countLeadingZeros(sum.z);
  var top = sum.yx;
  if (shift < 32u) {
    top = vec2<u32>((sum.z << shift) | select(0u, sum.y >> (32u - shift), shift > 0u),
                    (sum.y << shift) | select(0u, sum.x >> (32u - shift), shift > 0u));
  }
  let exponent = 127u + 32u - shift;
  let high = f32(top.x >> 8u) * bitcast<f32>((exponent - 23u) << 23u);
  let low = f32(((top.x & 255u) << 16u) | (top.y >> 16u)) * bitcast<f32>((exponent - 47u) << 23u);
  return vec2<f32>(high, low);
}

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let unit = flat_group(group, groups);
  if (unit >= p.units) { return; }
  let query = unit / p.segments;
  let first = (unit % p.segments) * p.segment_size;
  let start = p.logits_start + rows[p.rows_start + query] * p.width + first;
  let count = min(p.segment_size, p.width - first);
  var key = 0u;
  for (var i = lane; i < count; i += ${THREADS}u) { key = max(key, key_of(logits[start + i])); }
  keys[lane] = key;
  workgroupBarrier();
  for (var stride = ${THREADS / 2}u; stride > 0u; stride >>= 1u) {
    if (lane < stride) { keys[lane] = max(keys[lane], keys[lane + stride]); }
    workgroupBarrier();
  }
  let largest = select(~keys[0], keys[0] & 0x7fffffffu, (keys[0] & 0x80000000u) != 0u);
  var sum = vec3<u32>(0u);
  if (is_finite(largest)) {
    for (var i = lane; i < count; i += ${THREADS}u) {
      let logit = logits[start + i];
      if (is_finite(logit)) { sum = add_long(sum, vec3<u32>(term(logit, largest, p.queries[query]), 0u)); }
    }
  }
  sums[lane] = sum;
  workgroupBarrier();
  for (var stride = ${THREADS / 2}u; stride > 0u; stride >>= 1u) {
    if (lane < stride) { sums[lane] = add_long(sums[lane], sums[lane + stride]); }
    workgroupBarrier();
  }
  if (lane > 0u) { return; }
  let parts = select(vec2<f32>(0.0), in_two_floats(sums[0]), is_finite(largest));
  let at = p.out_start + 3u * unit;
  output[at] = bitcast<f32>(largest);
  output[at + 1u] = parts.x;
  output[at + 2u] = parts.y;
}
`;

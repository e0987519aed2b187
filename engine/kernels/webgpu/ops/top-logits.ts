/** topLogits: rounds of a knock-out. In each, a workgroup takes up to 2,048 candidates of a row and leaves its K best.
 *
 *   logits   | 2048 | 2048 | ... | rest |      round 1: 63 parts of a vocabulary of 128,256
 *              K      K            K           round 2: 63 K candidates, and so on, until one part is left
 *
 * A thread holds eight candidates; K times all threads find the best of what is left, and the one that had it strikes it
 * out. Candidates are compared as whole numbers that have the order of their logits, so nothing depends on the order in
 * which they meet. */
import { UnsupportedError } from '../../../errors.ts';
import type { OpArgs } from '../../ops.ts';
import type { GpuSlice } from '../gpu-kernel.ts';
import { FLAT_GROUP, flatGrid, type OpContext, packParams } from '../op-context.ts';

const THREADS = 256;
const OWN = 8;
/** Candidates of a workgroup. */
const PART = THREADS * OWN;

/** More would not leave fewer candidates than there were. */
const MAX_TOP = PART / 2;

/** Why so many cannot be found, if they cannot. */
export function whyNotTop(numTop: number): string | undefined {
  return numTop > MAX_TOP ? `it finds at most the ${MAX_TOP} best, not ${numTop}` : undefined;
}

export function topLogits(context: OpContext, { logits, out }: OpArgs['topLogits']): void {
  const { memory, recorder, library, scratch } = context;
  const [numRows, vocabSize] = logits.shape as [number, number];
  const numTop = out.shape[1]!;
  const reason = whyNotTop(numTop);
  if (reason !== undefined) throw new UnsupportedError(`topLogits to ${out}`, reason);
  if (numTop === 0) return;
  const [source, output] = [memory.bind(logits), memory.bind(out)];
  let candidates: GpuSlice | undefined;
  for (let count = vocabSize, round = 0; ; round++) {
    const numParts = Math.ceil(count / PART);
    const variant = { isFirst: round === 0, isLast: numParts === 1 };
    const kernel = library.get(`topLogits${variant.isFirst ? ', first' : ''}${variant.isLast ? ', last' : ''}`, () => ({
      bindings: ['uniform', 'read', ...(variant.isFirst ? [] : (['read'] as const)), 'read_write'],
      code: codeOf(variant),
    }));
    const target = variant.isLast
      ? output
      : memory.bindRange(
          scratch.take(memory, `topLogits ${round % 2}`, 2 * numRows * numParts * numTop),
          0,
          8 * numRows * numParts * numTop,
        );
    recorder.dispatch(kernel, {
      params: packParams([numRows, vocabSize, count, numParts, numTop, source.wordOffset, output.wordOffset]),
      storage: [source, ...(candidates === undefined ? [] : [candidates]), target],
      workgroups: flatGrid(numRows * numParts),
    });
    if (variant.isLast) return;
    candidates = target;
    count = numParts * numTop;
  }
}

interface Variant {
  /** Candidates are the logits themselves, not what a round left. */
  readonly isFirst: boolean;
  /** What is left is the result. */
  readonly isLast: boolean;
}

function codeOf({ isFirst, isLast }: Variant): string {
  return /* wgsl */ `
struct Params { rows: u32, width: u32, count: u32, parts: u32, top: u32, logits_start: u32, out_start: u32 }
/** No logit has key 0; all that are struck out have. */
struct Candidate { key: u32, id: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
${isFirst ? '' : '@group(0) @binding(2) var<storage, read> candidates: array<vec2<u32>>;'}
@group(0) @binding(${isFirst ? 2 : 3}) var<storage, read_write> output: array<${isLast ? 'f32' : 'vec2<u32>'}>;
${FLAT_GROUP}
const NOBODY = Candidate(0u, 0xffffffffu);
var<workgroup> best: array<Candidate, ${THREADS}>;

/** Whole numbers in the order of the logits; both zeros are equal, and NaN is -Infinity. */
fn key_of(logit: f32) -> u32 {
  var bits = bitcast<u32>(logit);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { bits = 0xff800000u; }
  if (bits == 0x80000000u) { bits = 0u; }
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn candidate(row: u32, i: u32) -> Candidate {
  if (i >= p.count) { return NOBODY; }
  ${
    isFirst
      ? 'return Candidate(key_of(logits[p.logits_start + row * p.width + i]), i);'
      : 'let pair = candidates[row * p.count + i];\n  return Candidate(pair.x, pair.y);'
  }
}

fn is_better(a: Candidate, b: Candidate) -> bool { return a.key > b.key || (a.key == b.key && a.id < b.id); }

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let flat = flat_group(group, groups);
  let row = flat / p.parts;
  let part = flat % p.parts;
  if (row >= p.rows) { return; }
  var own: array<Candidate, ${OWN}>;
  var own_best = 0u;
  for (var i = 0u; i < ${OWN}u; i++) {
    own[i] = candidate(row, part * ${PART}u + i * ${THREADS}u + lane);
    if (is_better(own[i], own[own_best])) { own_best = i; }
  }
  for (var place = 0u; place < p.top; place++) {
    best[lane] = own[own_best];
    workgroupBarrier();
    for (var stride = ${THREADS / 2}u; stride > 0u; stride >>= 1u) {
      if (lane < stride && is_better(best[lane + stride], best[lane])) { best[lane] = best[lane + stride]; }
      workgroupBarrier();
    }
    let winner = best[0];
    workgroupBarrier();
    if (winner.id == own[own_best].id) {
      own[own_best] = NOBODY;
      for (var i = 0u; i < ${OWN}u; i++) { if (is_better(own[i], own[own_best])) { own_best = i; } }
    }
    if (lane == 0u) {
      ${isLast ? LAST_STORE : 'output[(row * p.parts + part) * p.top + place] = vec2<u32>(winner.key, winner.id);'}
    }
  }
}
`;
}

/** The bits of -Infinity go through a variable of the shader, as WGSL has no constant for it. */
const LAST_STORE = /* wgsl */ `let at = p.out_start + 2u * (row * p.top + place);
      let logit = logits[p.logits_start + row * p.width + winner.id];
      output[at] = f32(winner.id);
      var lowest = 0xff800000u;
      output[at + 1u] = select(logit, bitcast<f32>(lowest), winner.key == 0x007fffffu);`;

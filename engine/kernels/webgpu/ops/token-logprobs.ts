/** tokenLogprobs: one workgroup per row, one pass for the largest logit and one for the sum. */
import { checkIndices } from '../../check-indices.ts';
import type { OpArgs } from '../../ops.ts';
import { checkInts, FLAT_GROUP, flatGrid, type OpContext, packParams } from '../op-context.ts';
import { REDUCE_CODE, ROW_THREADS } from './reduce.ts';

export function tokenLogprobs(context: OpContext, { logits, tokenIds, out }: OpArgs['tokenLogprobs']): void {
  const { memory, recorder, library } = context;
  const [numRows, vocabSize] = logits.shape as [number, number];
  checkInts(context, tokenIds, (ints) => checkIndices('tokenLogprobs tokenIds', ints, vocabSize));
  const [values, ids, output] = [memory.bind(logits), memory.bind(tokenIds), memory.bind(out)];
  const kernel = library.get('tokenLogprobs', () => ({
    bindings: ['uniform', 'read', 'read', 'read_write'],
    code: CODE,
  }));
  recorder.dispatch(kernel, {
    params: packParams([numRows, vocabSize, values.wordOffset, ids.wordOffset, output.wordOffset]),
    storage: [values, ids, output],
    workgroups: flatGrid(numRows),
  });
}

const CODE = /* wgsl */ `
struct Params { rows: u32, width: u32, logits_start: u32, ids_start: u32, out_start: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
${FLAT_GROUP}${REDUCE_CODE}
/** ln(1 + x) for x below 0.01, by its series: 1 + x would round x away. */
fn log_of_one_plus(x: f32) -> f32 { return x * (1.0 - x * (0.5 - x * (0.33333333 - x * 0.25))); }

@compute @workgroup_size(${ROW_THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(group, groups);
  if (row >= p.rows) { return; }
  let start = p.logits_start + row * p.width;
  var largest = -3.4028234e38;
  for (var i = lane; i < p.width; i += ${ROW_THREADS}u) { largest = max(largest, logits[start + i]); }
  largest = reduce_max(largest, lane);
  // The largest are counted, not summed: of a sure token hardly more than rounding would be left otherwise.
  var rest = 0.0;
  var ties = 0.0;
  for (var i = lane; i < p.width; i += ${ROW_THREADS}u) {
    let logit = logits[start + i];
    if (logit == largest) { ties += 1.0; } else { rest += exp(logit - largest); }
  }
  rest = reduce_sum(rest, lane);
  ties = reduce_sum(ties, lane);
  if (lane == 0u) {
    let log_sum = select(log(ties + rest), log_of_one_plus(rest), ties == 1.0 && rest < 0.01);
    output[p.out_start + row] = (logits[start + ids[p.ids_start + row]] - largest) - log_sum;
  }
}
`;

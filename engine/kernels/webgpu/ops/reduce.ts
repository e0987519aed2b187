/** Sums and maxima over all threads of a workgroup, as a tree whose shape never changes: the result has the same bits
 * whichever thread asks and however many rows there are. */

/** Threads of a workgroup that reduces a row. */
export const ROW_THREADS = 256;

/** Declares `reduce_sum` and `reduce_max(value: f32, lane: u32) -> f32`. All threads call, all get the result. */
export const REDUCE_CODE = /* wgsl */ `
var<workgroup> partial: array<f32, ${ROW_THREADS}>;

fn reduce_sum(value: f32, lane: u32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var stride = ${ROW_THREADS / 2}u; stride > 0u; stride >>= 1u) {
    if (lane < stride) { partial[lane] += partial[lane + stride]; }
    workgroupBarrier();
  }
  let result = partial[0];
  workgroupBarrier();
  return result;
}

fn reduce_max(value: f32, lane: u32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var stride = ${ROW_THREADS / 2}u; stride > 0u; stride >>= 1u) {
    if (lane < stride) { partial[lane] = max(partial[lane], partial[lane + stride]); }
    workgroupBarrier();
  }
  let result = partial[0];
  workgroupBarrier();
  return result;
}
`;

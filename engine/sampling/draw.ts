/** Drawing a candidate by its probability. */
import type { Rng } from '../util/rng.ts';
import type { Candidates } from './candidates.ts';

/** A place, each with its own probability: the first at which the running sum of probabilities exceeds a uniform
 * random number; -1 if every candidate is banned. One number is drawn for every token, however few candidates. */
export function draw(candidates: Candidates, rng: Rng): number {
  candidates.softmax();
  const { probs, size } = candidates;
  const target = rng.nextFloat();
  let sum = 0;
  let last = -1;
  for (let place = 0; place < size; place++) {
    if (probs[place] === 0) continue;
    sum += probs[place]!;
    last = place;
    if (target < sum) return place;
  }
  return last; // the sum may end just below 1
}

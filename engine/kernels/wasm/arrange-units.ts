/** Which of several memories each unit of a model lies in. A pure function of sizes.
 *
 *   memory 0   | embedding | layer 0 | layer 1 | ... | layer 9 |  (rest)  |
 *   memory 1   | layer 10 | ... | layer 19 |                      (rest)  |
 *   memory 2   | layer 20 | ... | layer 27 | output |             (rest)  |
 *
 * Units come in the order in which a step uses them, and memories are filled one after the other: a step then passes
 * from memory to memory as seldom as can be. What stays empty at a memory's end was never touched and costs nothing. */

/** A unit that no memory can hold. */
export interface Misfit {
  readonly unit: number;
  readonly byteLength: number;
}

/** @param capacity  bytes that one memory holds
 * @returns the memory of each unit, from 0 */
export function arrangeUnits(unitBytes: readonly number[], capacity: number): readonly number[] | Misfit {
  const memoryOf: number[] = [];
  let memory = 0;
  let used = 0;
  for (const [unit, byteLength] of unitBytes.entries()) {
    if (byteLength > capacity) return { unit, byteLength };
    if (used + byteLength > capacity) {
      memory++;
      used = 0;
    }
    used += byteLength;
    memoryOf.push(memory);
  }
  return memoryOf;
}

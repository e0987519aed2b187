/** A rotary table for tests, straight from the paper: pair i at position p turns by p * theta^(-2i / R) radians, divided
 * by the pair's frequency factor where a model has them. The product's own table builder is `engine/model/rotary.ts`. */
export function ropeTable(config: {
  readonly numPositions: number;
  readonly rotaryDim: number;
  readonly theta: number;
  readonly factors?: Float32Array | undefined;
}): Float32Array {
  const { numPositions, rotaryDim, theta, factors } = config;
  const table = new Float32Array(numPositions * rotaryDim);
  for (let p = 0; p < numPositions; p++) {
    for (let i = 0; i < rotaryDim / 2; i++) {
      const angle = (p * theta ** ((-2 * i) / rotaryDim)) / (factors?.[i] ?? 1);
      table[p * rotaryDim + 2 * i] = Math.cos(angle);
      table[p * rotaryDim + 2 * i + 1] = Math.sin(angle);
    }
  }
  return table;
}

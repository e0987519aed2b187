/** What was recorded of steps, to be played again by steps of the same size. */

/** More than there are sizes of steps in a while; beyond, all are recorded anew. */
const MAX_TAPES = 32;

/** The tapes of each program by the size of the step. */
export class TapeShelf<Tape> {
  #tapes = new WeakMap<object, Map<string, Tape>>();

  find(program: object, size: string): Tape | undefined {
    return this.#tapes.get(program)?.get(size);
  }

  put(program: object, size: string, tape: Tape): void {
    let ofProgram = this.#tapes.get(program);
    if (ofProgram === undefined || ofProgram.size >= MAX_TAPES) {
      ofProgram = new Map();
      this.#tapes.set(program, ofProgram);
    }
    ofProgram.set(size, tape);
  }

  clear(): void {
    this.#tapes = new WeakMap();
  }
}

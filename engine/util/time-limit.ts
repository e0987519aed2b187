/** Stops synchronous work that may never end by itself and cannot count its own steps: a regular expression that somebody
 * else wrote. Costs a thread's start, some 0.1 ms, so it is not for what is known to end. */
import { createContext, Script } from 'node:vm';

const CALL = new Script('work()');

export class TimeLimit {
  /** Only a script can be given a time limit; this one calls back. */
  readonly #context = createContext({ work: undefined });

  /** Runs `work`, and stops it wherever it is after `limitMs`. Let it change nothing but what is thrown away then.
   * @returns whether it came to its end. @throws what `work` throws */
  run(limitMs: number, work: () => void): boolean {
    this.#context.work = work;
    try {
      CALL.runInContext(this.#context, { timeout: limitMs });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false;
      throw error;
    } finally {
      this.#context.work = undefined;
    }
  }
}

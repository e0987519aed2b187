/** The little of node:vm that `engine/util/time-limit.ts` uses. A page cannot stop its own script, so there is no time limit;
 * the browser itself offers to stop a page that hangs. */

interface Context {
  readonly work: () => void;
}

export const createContext = (context: Context): Context => context;

/** A script that can only be `work()`. */
export class Script {
  runInContext(context: Context): void {
    context.work();
  }
}

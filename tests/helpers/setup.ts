/** fast-check's settings for the whole suite. The seed comes from the environment so that a failure can be replayed
 * (`QUERN_SEED=123 npm test`), and fast-check prints it on failure. `QUERN_RUNS` multiplies the number of runs. */
import fc from 'fast-check';

const seed = process.env.QUERN_SEED === undefined ? undefined : Number(process.env.QUERN_SEED);
const factor = Number(process.env.QUERN_RUNS ?? '1');
if (!(factor > 0)) throw new Error(`QUERN_RUNS must be a number above 0, got ${process.env.QUERN_RUNS}`);

fc.configureGlobal({
  ...(seed === undefined ? {} : { seed }),
  numRuns: Math.round(100 * factor),
  interruptAfterTimeLimit: 50_000 * Math.max(1, factor),
});

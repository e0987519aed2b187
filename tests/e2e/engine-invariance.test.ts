/** The property of the house, on the real engine: whatever else happens, a request's tokens and the bits of its logits
 * are those it gets alone on one thread. Random models, prompts, arrivals, chunks, blocks, priorities, aborts, shared
 * prefixes, several choices, and pools so small that sequences are preempted. */
import { rm } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KvDType } from '../../engine/kvcache/kv-cache-storage.ts';
import { cpuBackends, EngineHarness } from '../helpers/engine-harness.ts';
import {
  ALONE_OPTIONS,
  expectAsAlone,
  runScenario,
  SCENARIO_MODEL_LEN,
  type ScenarioRequest,
  scenarioOptions,
  scenarioRequests,
} from '../helpers/engine-scenario.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { TINY, tinyModelShapes, writeTinyModel } from '../helpers/tiny-models.ts';

const folder = useTemporaryFolder();
const backends = await cpuBackends();
const shareOfRuns = (share: number): number => Math.round(fc.readConfigureGlobal().numRuns! * share);

/** Four that outgrow the pool together, one of which is given up, and a fifth that begins as they do. They go on after the
 * end of text: whether a random model ends early is nobody's choice. */
const CROWD: ScenarioRequest[] = [0, 1, 2, 3, 4].map((index) => ({
  kind: 'generate',
  prompt: [5, 6, 7, 8, 9, 10, 11, 12, 13, 14 + index],
  maxTokens: 32,
  n: 1,
  temperature: 0,
  sampling: { ignore_eos: true },
  seed: index,
  stop: undefined,
  priority: 0,
  cacheSalt: '',
  arrivalStep: index === 4 ? 8 : 0,
  abortAfterSteps: index === 1 ? 20 : undefined,
}));

/** What was met over all runs: a property that met nothing would have shown nothing. */
class Tally {
  numRuns = 0;
  numPreemptions = 0;
  numCachedTokens = 0;
  numAborted = 0;
  numFinished = 0;

  add(harness: EngineHarness): void {
    const { numPreemptions, numCachedTokens, numAborted, numFinished } = harness.engine.stats();
    this.numRuns++;
    this.numPreemptions += numPreemptions;
    this.numCachedTokens += numCachedTokens;
    this.numAborted += numAborted;
    this.numFinished += numFinished;
  }

  check(): void {
    // In a long run, say how much it was.
    if (process.env.QUERN_RUNS !== undefined) console.info(JSON.stringify(this));
    expect(this.numPreemptions).toBeGreaterThan(0);
    expect(this.numCachedTokens).toBeGreaterThan(0);
    expect(this.numAborted).toBeGreaterThan(0);
    expect(this.numFinished).toBeGreaterThan(this.numRuns);
  }
}

describe('every request gets, bit for bit, what it gets alone', () => {
  it('in random models', async () => {
    const tally = new Tally();
    let numModels = 0;
    await fc.assert(
      fc.asyncProperty(
        tinyModelShapes(SCENARIO_MODEL_LEN),
        scenarioOptions(),
        fc.record({
          backend: fc.constantFrom(...backends),
          wantedKvDtype: fc.constantFrom<KvDType>('f32', 'f16', 'q8_0'),
        }),
        scenarioRequests(7),
        async (shape, options, { backend, wantedKvDtype }, requests) => {
          const path = folder.at(`random-${numModels++}.gguf`);
          await writeTinyModel(path, shape);
          // Rows of q8_0 are whole quant blocks.
          const kvDtype = wantedKvDtype === 'q8_0' && shape.headDim % 32 !== 0 ? 'f16' : wantedKvDtype;
          const harness = await EngineHarness.load(path, { ...options, backend, kvDtype });
          const alone = await EngineHarness.load(path, { ...ALONE_OPTIONS, backend, kvDtype });
          try {
            await expectAsAlone(alone, requests, await runScenario(harness, requests));
            expect(harness.findLeak()).toBeUndefined();
            tally.add(harness);
          } finally {
            await Promise.all([harness.close(), alone.close(), rm(path)]);
          }
        },
      ),
      { numRuns: shareOfRuns(0.4) },
    );
    tally.check();
  });

  // One engine for all runs: what earlier ones left in the prefix cache is there for later ones to find.
  const threaded = backends.flatMap((backend) => [1, 2, 3].map((numThreads) => ({ backend, numThreads })));
  it.each(threaded)('on $numThreads worker threads ($backend)', async ({ backend, numThreads }) => {
    const path = folder.at(`${backend}-${numThreads}.gguf`);
    await writeTinyModel(path, { ...TINY, seed: numThreads, numKvHeads: 2, slidingWindow: 23 });
    const alone = await EngineHarness.load(path, { ...ALONE_OPTIONS, backend });
    const harness = await EngineHarness.load(path, {
      ...ALONE_OPTIONS,
      backend,
      numThreads,
      enablePrefixCaching: true,
      schedulingPolicy: 'priority',
      blockSize: 4,
      numBlocks: 18,
      maxNumSeqs: 4,
      maxNumBatchedTokens: 11,
      maxPrefillChunk: 7,
    });
    expect(harness.workers).toHaveLength(numThreads);
    const tally = new Tally();
    await fc.assert(
      fc.asyncProperty(scenarioRequests(5), async (requests) => {
        await expectAsAlone(alone, requests, await runScenario(harness, requests));
        expect(harness.findLeak()).toBeUndefined();
        tally.numRuns++;
      }),
      { numRuns: shareOfRuns(0.15), endOnFailure: true, examples: [[CROWD]] },
    );
    tally.add(harness);
    tally.check();
    expect(await harness.close()).toBeUndefined();
    await alone.close();
  });
});

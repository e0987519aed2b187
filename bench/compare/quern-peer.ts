/** Quern as a peer: what `quern bench` measures, in a process that does nothing else. */
import { openBenchModel } from '../../cli/bench/bench-model.ts';
import type { BenchTest } from '../../cli/bench/bench-test.ts';
import { loadBenchEngine } from '../../cli/bench/load-bench-engine.ts';
import { measureTest, prepareTest, type TestBench } from '../../cli/bench/measure-test.ts';
import { type Peer, type PeerFacts, type PeerOptions, servePeer } from './peer.ts';

class QuernPeer implements Peer {
  #bench: TestBench | undefined;

  async load({ model, threads, tests, kvDtype }: PeerOptions): Promise<PeerFacts> {
    const { config } = await openBenchModel(model);
    const { engine, times } = await loadBenchEngine(model, tests, config, { numThreads: threads, kvDtype });
    this.#bench = { engine, times, signal: new AbortController().signal };
    const { backend, features } = engine.stats();
    return { backend, features, kvDtype };
  }

  prepare(test: BenchTest): Promise<void> {
    return prepareTest(this.#bench!, test);
  }

  measure(test: BenchTest, repetition: number): Promise<number> {
    return measureTest(this.#bench!, test, repetition);
  }
}

servePeer(new QuernPeer());

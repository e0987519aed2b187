/** llama.cpp as a peer, in one of two ways, by the first argument:
 *   llama.cpp       its decode function called back to back, without sampling, as llama-bench does: the engine alone
 *   node-llama-cpp  the package's documented interface with greedy sampling: what a Node service gets
 *
 * Settings are the defaults of both where they agree with llama-bench's: batches of 512, f16 KV cache, flash attention
 * where llama.cpp thinks it pays, mapped files. */
import type { BenchTest } from '../../cli/bench/bench-test.ts';
import { contextOf } from '../../cli/bench/bench-test.ts';
import { measureByAddon } from './llama-addon.ts';
import { measureByInterface } from './llama-interface.ts';
import { importNodeLlamaCpp, type LlamaContext, type LlamaSequence } from './node-llama-cpp.ts';
import { type Peer, type PeerFacts, type PeerOptions, servePeer } from './peer.ts';

/** Random token ids below this are in every vocabulary. */
const MIN_VOCAB_SIZE = 256;
const BATCH_SIZE = 512;

const { getLlama } = await importNodeLlamaCpp();
const isAddon = process.argv[2] === 'llama.cpp';

class LlamaPeer implements Peer {
  #context: LlamaContext | undefined;
  readonly #sequences: LlamaSequence[] = [];

  async load({ model: modelPath, threads, tests }: PeerOptions): Promise<PeerFacts> {
    const llama = await getLlama({
      gpu: false,
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      logLevel: 'error',
      maxThreads: threads,
    });
    const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
    const numSequences = Math.max(...tests.map(({ batch }) => batch));
    this.#context = await model.createContext({
      contextSize: Math.max(...tests.map(contextOf)),
      batchSize: BATCH_SIZE,
      sequences: numSequences,
      threads: { ideal: threads, min: threads },
      flashAttention: 'auto',
    });
    for (let i = 0; i < numSequences; i++) this.#sequences.push(this.#context.getSequence());
    return { release: llama.llamaCppRelease.release, systemInfo: llama.systemInfo, kvDtype: 'f16' };
  }

  /** Each measurement makes sure of it itself. */
  async prepare(): Promise<void> {}

  measure(test: BenchTest, repetition: number): Promise<number> {
    const prompts = Array.from({ length: test.batch }, (_, i) => ({
      prefix: someTokens(test.depth, i),
      own: someTokens(test.kind === 'pp' ? test.numTokens : 1, test.batch * (repetition + 2) + i),
    }));
    if (isAddon) return measureByAddon(this.#context!._ctx, BATCH_SIZE, test, prompts);
    return measureByInterface(this.#sequences.slice(0, test.batch), test, prompts);
  }
}

/** Speed does not depend on the tokens. */
function someTokens(count: number, seed: number): number[] {
  return Array.from({ length: count }, (_, i) => (i * 31 + seed * 17 + 3) % MIN_VOCAB_SIZE);
}

servePeer(new LlamaPeer());

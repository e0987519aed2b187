/** An engine without text: the loaded parts and the core, with requests that are token ids and choose greedily. */
import { expect } from 'vitest';
import { bundledModelPath } from '../../../engine/bundled-model.ts';
import { EngineCore } from '../../../engine/engine-core.ts';
import { type EngineOptions, resolveEngineOptions } from '../../../engine/engine-options.ts';
import { loadEngine } from '../../../engine/load-engine.ts';
import type { PromptCacheHost } from '../../../engine/prompt-cache/prompt-cache-host.ts';
import { argmax } from '../../../engine/sampling/argmax.ts';
import { Sequence } from '../../../engine/scheduler/sequence.ts';
import { systemClock } from '../../../engine/util/clock.ts';

export interface SmallAnswer {
  readonly tokenIds: readonly number[];
  /** Of each token's row, all of them: equal bits are equal numbers here. */
  readonly logits: readonly Float32Array[];
  readonly numCachedTokens: number;
}

export class SmallEngine implements AsyncDisposable {
  readonly host: PromptCacheHost;
  readonly #core: EngineCore;
  readonly #loaded: Awaited<ReturnType<typeof loadEngine>>;
  #nextId = 1;

  private constructor(loaded: Awaited<ReturnType<typeof loadEngine>>) {
    const { model, executor, kvCache, memory } = loaded;
    this.#loaded = loaded;
    this.#core = new EngineCore({
      config: model.config,
      executor,
      recovery: {
        restartsSequences: false,
        newExecutor: () => Promise.reject(new Error('no device here can be lost')),
      },
      kvCache,
      clock: systemClock,
      schedulerOptions: {},
      onSequenceEvent: undefined,
    });
    this.host = {
      kvCache,
      backend: model.backend,
      layers: memory.memory.kvCache,
      modelFingerprint: 'draft',
      betweenSteps: (task) => this.#core.betweenSteps(task),
    };
  }

  static async load(options: EngineOptions): Promise<SmallEngine> {
    const resolved = resolveEngineOptions({ backend: 'reference', ...options });
    return new SmallEngine(await loadEngine(bundledModelPath('draft'), resolved));
  }

  get vocabSize(): number {
    return this.#loaded.model.config.vocabSize;
  }

  generate(promptTokenIds: readonly number[], maxNewTokens: number, cacheSalt = ''): Promise<SmallAnswer> {
    const sequence = new Sequence({ id: this.#nextId++, promptTokenIds, maxNewTokens, cacheSalt });
    const tokenIds: number[] = [];
    const logits: Float32Array[] = [];
    return new Promise((resolve, reject) => {
      const onEnd = (): void => {
        const { error, numCachedTokens } = sequence;
        if (error === undefined) resolve({ tokenIds, logits, numCachedTokens });
        else reject(error);
      };
      const onRows = (rows: { readonly samples: boolean; readonly logits: Float32Array }): number | undefined => {
        if (!rows.samples) return undefined;
        logits.push(rows.logits.slice());
        tokenIds.push(argmax(rows.logits));
        return tokenIds.at(-1)!;
      };
      const acceptToken = (): undefined => undefined;
      this.#core.submit([{ sequence, rowsWanted: 'next', onRows, acceptToken, onEnd }]);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    expect(this.#loaded.kvCache.findInconsistency()).toBeUndefined();
    const { executor, memory, model } = this.#loaded;
    await this.#core.close();
    await executor.close();
    memory.free();
    await model.backend.close();
  }
}

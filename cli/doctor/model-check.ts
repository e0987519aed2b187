/** Whether a model file runs here: what it is, whether its memory can be had, and whether it gives tokens. */
import { Engine } from '../../engine/engine.ts';
import { estimateMemory } from '../../engine/inspect/memory-estimate.ts';
import { inspectModel, isUnavailable, type ModelReport } from '../../engine/inspect/model-report.ts';
import type { FeatureState } from '../../engine/kernels/kernel-backend.ts';

export interface ModelCheck {
  readonly path: string;
  readonly ok: boolean;
  /** What went wrong. */
  readonly reason: string | null;
  /** This and what follows: null where the file does not say, or was not run. */
  readonly architecture: string | null;
  readonly numParameters: number | null;
  /** Weights by type, the most bytes first. */
  readonly types: readonly string[];
  /** Weights, KV cache of the context below and scratch, by estimate. */
  readonly neededBytes: number | null;
  readonly contextLength: number | null;
  /** That ran it, and what of the machine it used with this model. */
  readonly backend: string | null;
  readonly features: Readonly<Record<string, FeatureState>>;
  readonly loadSeconds: number | null;
}

export interface ModelCheckOptions {
  readonly availableBytes: number;
  readonly signal: AbortSignal;
}

/** Enough to see that weights and kernels work together. */
const NUM_TOKENS = 4;
const CONTEXT = 256;

const UNKNOWN = {
  architecture: null,
  numParameters: null,
  types: [],
  neededBytes: null,
  contextLength: null,
  backend: null,
  features: {},
  loadSeconds: null,
};

/** Never throws: whatever goes wrong is the result. */
export async function checkModel(path: string, options: ModelCheckOptions): Promise<ModelCheck> {
  let report: ModelReport;
  try {
    report = await inspectModel(path);
  } catch (error) {
    return { ...UNKNOWN, path, ok: false, reason: messageOf(error) };
  }
  const { hyperparameters, numParameters, numTensorBytes } = report;
  const found = { ...UNKNOWN, path, numParameters, types: report.types.map(({ type }) => type) };
  if (isUnavailable(hyperparameters)) return { ...found, ok: false, reason: hyperparameters.unavailable };
  const contextLength = Math.min(CONTEXT, hyperparameters.contextLength);
  const neededBytes = estimateMemory(hyperparameters, numTensorBytes, { contextLength, kvDtype: 'f32' }).total;
  const known = { ...found, architecture: hyperparameters.architecture, neededBytes, contextLength };
  if (neededBytes > options.availableBytes) {
    return {
      ...known,
      ok: false,
      reason: `needs ${neededBytes} bytes, of which ${options.availableBytes} are available`,
    };
  }
  return { ...known, ...(await tryModel(path, contextLength, options.signal)) };
}

type Outcome = Pick<ModelCheck, 'ok' | 'reason' | 'backend' | 'features' | 'loadSeconds'>;

async function tryModel(path: string, maxModelLen: number, signal: AbortSignal): Promise<Outcome> {
  try {
    const startMs = performance.now();
    await using engine = await Engine.load(path, { maxModelLen, maxNumSeqs: 1, signal });
    const loadSeconds = (performance.now() - startMs) / 1000;
    const { backend, features } = engine.stats();
    const prompt = [engine.tokenizer.bosId ?? 0];
    await engine.generate(prompt, { max_tokens: NUM_TOKENS, temperature: 0, ignore_eos: true, signal }).result;
    return { ok: true, reason: null, backend, features, loadSeconds };
  } catch (error) {
    return { ok: false, reason: messageOf(error), backend: null, features: {}, loadSeconds: null };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** As much of node-llama-cpp as is measured. It is installed on demand, so nothing here may need its own types.
 *
 * Source  node-llama-cpp 3.22.1, dist/evaluator/LlamaContext/LlamaContext.d.ts and dist/bindings/AddonTypes.d.ts */

export interface LlamaSequence {
  readonly sequenceId: number;
  readonly nextTokenIndex: number;
  evaluate(tokens: readonly number[], options: object): AsyncIterable<number>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  eraseContextTokenRanges(ranges: readonly { readonly start: number; readonly end: number }[]): Promise<void>;
}

/** The addon's own context: llama.cpp's C functions with hardly anything around them. Not public. */
export interface AddonContext {
  initBatch(size: number): void;
  /** @param logitIndexes  places within `tokens` whose logits are wanted */
  addToBatch(sequenceId: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  disposeSequence(sequenceId: number): void;
}

export interface LlamaContext {
  readonly _ctx: AddonContext;
  getSequence(): LlamaSequence;
}

export interface LlamaModel {
  createContext(options: object): Promise<LlamaContext>;
}

export interface Llama {
  readonly llamaCppRelease: { readonly repo: string; readonly release: string };
  readonly systemInfo: string;
  loadModel(options: object): Promise<LlamaModel>;
}

interface LlamaModule {
  getLlama(options: object): Promise<Llama>;
}

export async function importNodeLlamaCpp(): Promise<LlamaModule> {
  // A name that the type checker cannot follow: the package may not be there.
  const name: string = 'node-llama-cpp';
  return (await import(name)) as LlamaModule;
}

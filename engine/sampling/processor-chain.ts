/** Which processors a request needs, and in which order: the order of llama.cpp's default chain.
 *
 *   edits    logit_bias -> min_tokens -> penalties -> masks (a grammar's)         change logits, also for greedy choice
 *   filters  top_n_sigma -> top_k -> typical_p -> top_p -> min_p -> xtc -> temperature      only when drawing
 *
 * Temperature comes last, so the filters see the model's own probabilities. (vLLM and Hugging Face put it first: there
 * a high temperature also lets more tokens through top_p, min_p and typical_p.) Options that change nothing get no
 * processor. */
import type { LogitsProcessor } from './logits-processor.ts';
import { LogitBiasProcessor } from './processors/logit-bias.ts';
import { MinPProcessor } from './processors/min-p.ts';
import { MinTokensProcessor } from './processors/min-tokens.ts';
import { PenaltiesProcessor } from './processors/penalties.ts';
import { TemperatureProcessor } from './processors/temperature.ts';
import { TopKProcessor } from './processors/top-k.ts';
import { TopNSigmaProcessor } from './processors/top-n-sigma.ts';
import { TopPProcessor } from './processors/top-p.ts';
import { TypicalProcessor } from './processors/typical.ts';
import { XtcProcessor } from './processors/xtc.ts';
import type { SamplingParams } from './sampling-params.ts';

export interface ProcessorChain {
  readonly edits: readonly LogitsProcessor[];
  readonly filters: readonly LogitsProcessor[];
}

/** @param eogTokenIds  the model's end-of-generation tokens
 *  @param masks        more edits, run after the request's own */
export function buildProcessorChain(
  params: SamplingParams,
  eogTokenIds: readonly number[],
  masks: readonly LogitsProcessor[] = [],
): ProcessorChain {
  return {
    edits: [...buildEdits(params, eogTokenIds), ...masks],
    filters: params.temperature === 0 ? [] : buildFilters(params),
  };
}

function buildEdits(params: SamplingParams, eogTokenIds: readonly number[]): LogitsProcessor[] {
  const edits: LogitsProcessor[] = [];
  if (params.logitBias.length > 0) edits.push(new LogitBiasProcessor(params.logitBias));
  const endTokenIds = [...(params.ignoreEos ? [] : eogTokenIds), ...params.stopTokenIds];
  if (params.minTokens > 0 && endTokenIds.length > 0) {
    edits.push(new MinTokensProcessor(params.minTokens, endTokenIds));
  }
  const penalties = {
    repetition: params.repetitionPenalty,
    frequency: params.frequencyPenalty,
    presence: params.presencePenalty,
    lastN: params.repeatLastN,
  };
  const penalizes = penalties.repetition !== 1 || penalties.frequency !== 0 || penalties.presence !== 0;
  if (penalizes && penalties.lastN !== 0) edits.push(new PenaltiesProcessor(penalties));
  return edits;
}

function buildFilters(params: SamplingParams): LogitsProcessor[] {
  const filters: LogitsProcessor[] = [];
  if (params.topNSigma > 0) filters.push(new TopNSigmaProcessor(params.topNSigma));
  if (params.topK > 0) filters.push(new TopKProcessor(params.topK));
  if (params.typicalP < 1) filters.push(new TypicalProcessor(params.typicalP));
  if (params.topP < 1) filters.push(new TopPProcessor(params.topP));
  if (params.minP > 0) filters.push(new MinPProcessor(params.minP));
  if (params.xtcProbability > 0) filters.push(new XtcProcessor(params.xtcProbability, params.xtcThreshold));
  if (params.temperature !== 1) filters.push(new TemperatureProcessor(params.temperature));
  return filters;
}

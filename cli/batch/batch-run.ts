/** Runs the lines of an input as one continuous batch: a bounded number of requests is with the engine, enough that
 * whatever ends is replaced at once, and a line is read when there is room for it. Knows no terminal. */
import type { Engine } from '../../engine/engine.ts';
import { QuernError } from '../../engine/errors.ts';
import type { GenerateOptions } from '../../engine/requests/generate-options.ts';
import type { GenerationResult } from '../../engine/requests/generation-stream.ts';
import type { BatchLine, BatchRequest } from './batch-input.ts';
import { answerRecord, errorRecord, type RecordOptions } from './batch-record.ts';
import type { ResultFile } from './result-file.ts';

export interface BatchRunParts {
  readonly engine: Pick<Engine, 'generate' | 'chat'>;
  readonly results: Pick<ResultFile, 'append'>;
  /** The lines to run; ends early when the signal fires. */
  readonly lines: (signal: AbortSignal) => AsyncGenerator<BatchLine, void>;
  /** Sampling options of a line: what it says, over what the command line says. */
  readonly optionsOf: (line: BatchLine, request: BatchRequest) => GenerateOptions;
  readonly record: RecordOptions;
  /** Requests with the engine at a time, running and queued. */
  readonly maxInFlight: number;
  /** The first line that fails ends the run: lines in flight are finished, then its error is thrown. */
  readonly isStrict: boolean;
  readonly signal: AbortSignal;
  readonly onLine: (outcome: 'answered' | 'failed') => void;
}

/** Resolves when every line has its record. When `signal` fires, what has finished has its record and the rest is left.
 * @throws FileAccessError when the input cannot be read or the output cannot be written; with `isStrict` a line's error */
export async function runBatch(parts: BatchRunParts): Promise<void> {
  const failure = new AbortController();
  // All take from one generator, which hands each line to whoever asks next.
  const lines = parts.lines(AbortSignal.any([parts.signal, failure.signal]));
  const answerUntilFailure = async (): Promise<void> => {
    try {
      await answerLines(lines, parts);
    } catch (error) {
      // No more is read; the others end with the request they are at.
      failure.abort(error);
      throw error;
    }
  };
  const workers = Array.from({ length: parts.maxInFlight }, answerUntilFailure);
  await Promise.allSettled(workers);
  await lines.return();
  if (failure.signal.aborted) throw failure.signal.reason;
}

async function answerLines(lines: AsyncGenerator<BatchLine, void>, parts: BatchRunParts): Promise<void> {
  const { results, record, isStrict, signal, onLine } = parts;
  // No `for await`: an error would first close the generator, and that waits while another worker waits for a line.
  for (let next = await lines.next(); !next.done; next = await lines.next()) {
    if (signal.aborted) return;
    const line = next.value;
    const { request } = line;
    const outcome = QuernError.isInstance(request) ? request : await answer(line, request, parts);
    if (signal.aborted && outcome instanceof Error) return;
    if (!(outcome instanceof Error)) {
      await results.append(answerRecord(line, request as BatchRequest, outcome, record));
      onLine('answered');
    } else {
      if (isStrict || !isLineError(outcome)) throw outcome;
      await results.append(errorRecord(line, outcome));
      onLine('failed');
    }
  }
}

async function answer(
  line: BatchLine,
  request: BatchRequest,
  { engine, optionsOf, signal }: BatchRunParts,
): Promise<GenerationResult | Error> {
  try {
    const { input } = request;
    const options = { ...optionsOf(line, request), signal };
    if ('prompt' in input) return await engine.generate(input.prompt, options).result;
    const { parseSpecial: _, ...chatOptions } = options;
    return await engine.chat(input.messages, chatOptions).result;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Whether other lines can do better. A bug (no QuernError) or a closed engine would befall them all. */
function isLineError(error: Error): boolean {
  return QuernError.isInstance(error) && error.code !== 'ENGINE_CLOSED';
}

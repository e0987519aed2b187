/** What must be known of a model before it is loaded: how long its context is, and how large it is. */
import { FormatError } from '../../engine/errors.ts';
import { inspectModel, isUnavailable, type ModelReport } from '../../engine/inspect/model-report.ts';
import type { ModelConfig } from '../../engine/model/model-config.ts';

export interface BenchModel {
  readonly report: ModelReport;
  readonly config: ModelConfig;
}

/** Reads headers only.
 * @throws FileAccessError; FormatError, also when the file holds nothing that could be run */
export async function openBenchModel(path: string): Promise<BenchModel> {
  const report = await inspectModel(path);
  const { hyperparameters: config } = report;
  if (isUnavailable(config)) {
    throw new FormatError({ file: path, byteOffset: 0, field: 'hyperparameters' }, config.unavailable);
  }
  return { report, config };
}

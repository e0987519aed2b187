/** All that `quern doctor` finds, and the verdict. */
import { stat } from 'node:fs/promises';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { AbortError, InvalidArgumentError } from '../../engine/errors.ts';
import { BACKENDS } from '../../engine/kernels/backend-registry.ts';
import { type BackendReport, backendReports } from './backend-report.ts';
import { type GpuReport, gpuReport } from './gpu-report.ts';
import { type MachineReport, machineReport } from './machine-report.ts';
import { checkModel, type ModelCheck } from './model-check.ts';
import { type SelfCheck, selfCheck } from './self-check.ts';

export interface Diagnosis extends MachineReport {
  readonly gpu: GpuReport;
  readonly backends: readonly BackendReport[];
  readonly bundledModel: { readonly path: string; readonly numBytes: number | null };
  /** One for each backend that is available, or that was asked for. */
  readonly selfChecks: readonly SelfCheck[];
  /** Of the model that was asked about. */
  readonly model: ModelCheck | null;
  /** Sentences that say what is wrong; none when healthy. */
  readonly problems: readonly string[];
  readonly healthy: boolean;
}

export interface DiagnosisOptions {
  /** A file to check besides. */
  readonly model?: string | undefined;
  /** Backends to run the self-check on. Default: all that are available. */
  readonly backends?: readonly string[] | undefined;
  readonly signal: AbortSignal;
}

/** One backend after the other, so that each has the machine to itself.
 * @throws AbortError, InvalidArgumentError for a backend that nobody knows */
export async function diagnose({ model, backends: wanted, signal }: DiagnosisOptions): Promise<Diagnosis> {
  for (const name of wanted ?? []) expectKnown(name);
  const machine = machineReport();
  const gpu = await gpuReport();
  const backends = await backendReports();
  const bundledModel = await findBundledModel();
  const selfChecks: SelfCheck[] = [];
  for (const { name, available } of backends) {
    if (!(wanted?.includes(name) ?? available) || signal.aborted) continue;
    selfChecks.push(await selfCheck(name, { signal }));
  }
  const { availableBytes } = machine.memory;
  const checked = model === undefined ? null : await checkModel(model, { availableBytes, signal });
  if (signal.aborted) throw new AbortError(signal.reason);
  const findings = { ...machine, gpu, backends, bundledModel, selfChecks, model: checked };
  const problems = problemsOf(findings);
  return { ...findings, problems, healthy: problems.length === 0 };
}

function expectKnown(name: string): void {
  const names = BACKENDS.map((entry) => entry.name);
  if (!names.includes(name)) {
    throw new InvalidArgumentError('--backend', `must be among ${names.join(', ')}; got ${name}`);
  }
}

async function findBundledModel(): Promise<Diagnosis['bundledModel']> {
  const path = bundledModelPath();
  const found = await stat(path).catch(() => undefined);
  return { path, numBytes: found?.isFile() ? found.size : null };
}

/** What is missing but not needed, such as a GPU, is no problem; what is there and does not work is one. */
export function problemsOf({
  backends,
  bundledModel,
  selfChecks,
  model,
}: Omit<Diagnosis, 'problems' | 'healthy'>): string[] {
  return [
    ...(backends.some(({ available }) => available) ? [] : ['no backend is available']),
    ...(bundledModel.numBytes === null ? [`${bundledModel.path} is missing: install the package again`] : []),
    ...selfChecks.filter(({ ok }) => !ok).map(({ backend, reason }) => `self-check on ${backend}: ${reason}`),
    ...(model === null || model.ok ? [] : [`${model.path}: ${model.reason}`]),
  ];
}

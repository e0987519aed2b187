/** A diagnosis as text for a person. */
import type { FeatureState } from '../../engine/kernels/kernel-backend.ts';
import { printable } from '../printable.ts';
import { tableLines } from '../table.ts';
import { formatBytes, formatCount } from '../units.ts';
import type { BackendReport } from './backend-report.ts';
import type { Diagnosis } from './diagnosis.ts';
import type { AdapterReport, GpuReport } from './gpu-report.ts';
import type { ModelCheck } from './model-check.ts';
import { SELF_CHECK_TOKENS } from './self-check.ts';

export function diagnosisLines(diagnosis: Diagnosis): string[] {
  const { quern, node, v8, platform, bundledModel, selfChecks, model, problems } = diagnosis;
  const { path, numBytes } = bundledModel;
  return [
    `quern ${quern}, Node ${node}, V8 ${v8}, ${platform}`,
    '',
    'Machine',
    ...tableLines(machineRows(diagnosis)),
    '',
    'GPU',
    ...tableLines(gpuRows(diagnosis.gpu)),
    '',
    'Backends, in the order in which auto prefers them',
    ...tableLines(diagnosis.backends.flatMap(backendRows), { maxColumnWidth: 20 }),
    '',
    `Self-check: ${SELF_CHECK_TOKENS.length} greedy tokens of the bundled model, against those of the program that trained it`,
    ...tableLines([
      ['model', numBytes === null ? `${printable(path)}: missing` : `${printable(path)}, ${formatBytes(numBytes)}`],
      ...selfChecks.map(({ backend, ok, reason, seconds }) => [
        backend,
        ok ? `right, ${seconds.toFixed(1)} s with loading` : `FAILED: ${printable(reason ?? '')}`,
      ]),
    ]),
    ...(model === null ? [] : ['', `Model ${printable(model.path)}`, ...tableLines(modelRows(model))]),
    '',
    ...(problems.length === 0 ? ['healthy'] : problems.map((problem) => `PROBLEM  ${printable(problem)}`)),
  ];
}

function machineRows({ cpus, memory, runtime }: Diagnosis): string[][] {
  const quota = cpus.quota === null ? 'no quota' : `a quota of ${cpus.quota}`;
  const limit = memory.limitBytes === null ? 'no limit' : `limit ${formatBytes(memory.limitBytes)}`;
  return [
    ['CPUs', `${cpus.onHost} x ${cpus.model}`],
    ['granted', `${cpus.inAffinityMask} in the affinity mask, ${quota}: ${cpus.threads} threads by default`],
    ['memory', `${formatBytes(memory.availableBytes)} of ${formatBytes(memory.totalBytes)} available, ${limit}`],
    ...Object.entries(runtime).map(([name, state]) => [name, stateText(state)]),
  ];
}

function gpuRows({ packages, devices, vulkanDrivers, adapter, reason }: GpuReport): string[][] {
  const versions = Object.entries(packages).map(([name, version]) => [name, version ?? 'not installed']);
  const rows = [...versions];
  if (devices !== null) rows.push(['devices', printable(devices.join(', ')) || 'none in /dev']);
  for (const { file, problem } of vulkanDrivers ?? []) {
    rows.push(['Vulkan driver', printable(problem === null ? file : `${file}: ${problem}`)]);
  }
  if (vulkanDrivers?.length === 0) rows.push(['Vulkan driver', 'none']);
  return [...rows, ...(adapter === null ? [['adapter', `none: ${printable(reason ?? '')}`]] : adapterRows(adapter))];
}

function adapterRows({ name, isSoftware, features, maxBindingBytes }: AdapterReport): string[][] {
  const kind = isSoftware ? 'software that plays a GPU: slower than wasm, so auto leaves it alone' : 'hardware';
  return [
    ['adapter', `${printable(name)}, ${kind}`],
    ['', `bindings of up to ${formatBytes(maxBindingBytes)}`],
    ...Object.entries(features).map(([feature, state]) => ['', `${feature}: ${stateText(state)}`]),
  ];
}

function backendRows({ name, available, reason, chosen, features }: BackendReport): string[][] {
  const state = available
    ? `available${chosen ? ', chosen by auto' : ''}`
    : `not available: ${printable(reason ?? '')}`;
  return [[name, state], ...Object.entries(features).map(([feature, used]) => ['', `${feature}: ${stateText(used)}`])];
}

function stateText(state: FeatureState): string {
  return state.used ? 'yes' : `no, ${printable(state.reason)}`;
}

function modelRows(model: ModelCheck): string[][] {
  const { architecture, numParameters, types, neededBytes, contextLength, backend, loadSeconds } = model;
  const rows: string[][] = [];
  if (numParameters !== null) {
    rows.push(['weights', `${formatCount(numParameters)} parameters: ${printable(types.join(', '))}`]);
  }
  if (architecture !== null) rows.push(['architecture', printable(architecture)]);
  if (neededBytes !== null) {
    rows.push(['memory', `${formatBytes(neededBytes)} for a context of ${contextLength}, by estimate`]);
  }
  if (loadSeconds !== null) rows.push(['runs', `on ${backend}, loaded in ${loadSeconds.toFixed(1)} s`]);
  for (const [feature, state] of Object.entries(model.features)) rows.push(['', `${feature}: ${stateText(state)}`]);
  return rows;
}

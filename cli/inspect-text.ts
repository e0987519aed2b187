/** A model report as text for a person. Whatever comes out of the file is made printable. */
import type { MemoryEstimate } from '../engine/inspect/memory-estimate.ts';
import type { MetadataEntry } from '../engine/inspect/metadata-entry.ts';
import { isUnavailable, type ModelReport, type Unavailable } from '../engine/inspect/model-report.ts';
import type { NamedToken, TokenizerFacts } from '../engine/inspect/tokenizer-facts.ts';
import type { ModelConfig } from '../engine/model/model-config.ts';
import { printable, printableJson } from './printable.ts';
import { tableLines } from './table.ts';
import { formatBytes, formatCount } from './units.ts';

export function headLines(report: ModelReport): string[] {
  const { format, files, numParameters, numTensorBytes, tensors } = report;
  const fileBytes = files.reduce((sum, { numBytes }) => sum + numBytes, 0);
  const bits = bitsPerWeight(numTensorBytes, numParameters);
  return [
    printable(report.path),
    ...tableLines([
      ['format', format],
      ['parameters', `${formatCount(numParameters)} in ${formatCount(tensors.length)} tensors`],
      ['bits per weight', bits],
      ['size', formatBytes(fileBytes)],
    ]),
    ...(files.length > 1 ? ['', `Files (${files.length})`, ...fileLines(files)] : []),
  ];
}

function fileLines(files: ModelReport['files']): string[] {
  return tableLines(
    files.map(({ path, numBytes }) => [formatBytes(numBytes), printable(path)]),
    { rightAligned: [0] },
  );
}

export function metadataLines(entries: readonly MetadataEntry[]): string[] {
  if (entries.length === 0) return ['', 'Metadata: none'];
  const rows = entries.map((entry) => [printable(entry.key), entry.type, shownValue(entry)]);
  return ['', `Metadata (${entries.length})`, ...tableLines(rows)];
}

function shownValue({ value, length }: MetadataEntry): string {
  const text = printableJson(value);
  if (length === undefined) return text;
  return Array.isArray(value)
    ? `${text.slice(0, -1)}, ...] (${formatCount(length)})`
    : `${text.slice(0, -1)}..." (${formatCount(length)} characters)`;
}

export function hyperparameterLines(config: ModelConfig | Unavailable): string[] {
  if (isUnavailable(config)) return ['', 'Hyperparameters', `  not known: ${printable(config.unavailable)}`];
  const { rotary } = config;
  const rows: [string, string][] = [
    ['architecture', printable(config.architecture)],
    ['layers', String(config.numLayers)],
    ['hidden size', String(config.hiddenSize)],
    ['heads', `${config.numHeads} of ${config.headDim}, ${config.numKvHeads} for keys and values`],
    ['MLP size', String(config.intermediateSize)],
    ['vocabulary', formatCount(config.vocabSize)],
    ['context length', formatCount(config.contextLength)],
    [
      'rope',
      `theta ${rotary.theta}, ${rotary.numRotaryDims} dimensions, ${rotary.style}, scaling ${scalingText(config)}`,
    ],
    ['norm epsilon', Number(config.rmsNormEps.toPrecision(6)).toString()],
  ];
  if (config.slidingWindow !== undefined) rows.push(['sliding window', formatCount(config.slidingWindow)]);
  return ['', 'Hyperparameters', ...tableLines(rows)];
}

function scalingText({ rotary: { scaling } }: ModelConfig): string {
  if (scaling.kind === 'factors') return 'by factors in the file';
  const numbers = Object.entries(scaling).filter(([key]) => key !== 'kind');
  return [scaling.kind, ...numbers.map(([key, value]) => `${key} ${value}`)].join(', ');
}

export function tokenizerLines(facts: TokenizerFacts | Unavailable): string[] {
  if (isUnavailable(facts)) return ['', 'Tokenizer', `  not known: ${printable(facts.unavailable)}`];
  const shown = (token: NamedToken | null): string =>
    token === null ? '-' : `${token.id} ${printableJson(token.text)}`;
  const kinds = Object.entries(facts.tokensByType).map(([type, count]) => `${formatCount(count)} ${type}`);
  return [
    '',
    'Tokenizer',
    ...tableLines([
      ['tokens', `${formatCount(facts.vocabSize)}: ${kinds.join(', ')}`],
      ['BOS', `${shown(facts.bos)}${facts.addBos ? ', added' : ', not added'}`],
      ['EOS', `${shown(facts.eos)}${facts.addEos ? ', added' : ', not added'}`],
      ['unknown', shown(facts.unknown)],
      ['padding', shown(facts.padding)],
      ['ends generation', facts.endOfGeneration.map(shown).join(', ') || '-'],
      ['chat template', facts.hasChatTemplate ? 'yes' : 'no'],
    ]),
  ];
}

export function tensorLines({ tensors, files }: ModelReport): string[] {
  if (tensors.length === 0) return ['', 'Tensors: none'];
  const manyFiles = files.length > 1;
  const numberOf = new Map(files.map(({ path }, i) => [path, i + 1]));
  const head = ['name', 'type', 'shape', 'bytes', 'offset', ...(manyFiles ? ['file'] : [])];
  const rows = tensors.map(({ name, type, shape, numBytes, byteOffset, file }) => [
    printable(name),
    type,
    `[${shape.join(', ')}]`,
    formatCount(numBytes),
    formatCount(byteOffset),
    ...(manyFiles ? [String(numberOf.get(file) ?? '?')] : []),
  ]);
  return ['', `Tensors (${tensors.length})`, ...tableLines([head, ...rows], { rightAligned: [3, 4, 5] })];
}

export function typeLines({ types, numTensorBytes }: ModelReport): string[] {
  const head = ['type', 'tensors', 'parameters', 'bytes', 'share', 'bits per weight'];
  const rows = types.map(({ type, numTensors, numParameters, numBytes }) => [
    type,
    formatCount(numTensors),
    formatCount(numParameters),
    formatBytes(numBytes),
    `${((100 * numBytes) / numTensorBytes).toFixed(1)}%`,
    bitsPerWeight(numBytes, numParameters),
  ]);
  if (rows.length === 0) return [];
  return ['', 'Bytes by type', ...tableLines([head, ...rows], { rightAligned: [1, 2, 3, 4, 5] })];
}

export function memoryLines(memory: MemoryEstimate): string[] {
  const title = `Memory for ${formatCount(memory.contextLength)} tokens, ${memory.kvDtype} keys and values`;
  const rows = [
    ['weights', formatBytes(memory.weights)],
    ['KV cache', formatBytes(memory.kvCache), `${formatBytes(memory.kvCachePerToken)} per token`],
    ['scratch', formatBytes(memory.scratch)],
    ['total', formatBytes(memory.total)],
  ];
  return ['', title, ...tableLines(rows, { rightAligned: [1] })];
}

function bitsPerWeight(numBytes: number, numParameters: number): string {
  return numParameters === 0 ? '-' : ((8 * numBytes) / numParameters).toFixed(2);
}

/** Results as JSON lines: printed for a program to read, and appended to a file under `bench/results/` to be kept. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const RESULTS = new URL('../results/', import.meta.url);

/** @returns the file's name, relative to the checkout */
export function saveResults(name: string, records: readonly object[]): string {
  const path = fileURLToPath(new URL(`${name}.jsonl`, RESULTS));
  mkdirSync(dirname(path), { recursive: true });
  appendFileSync(path, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return `bench/results/${name}.jsonl`;
}

/** Numbers with the digits that mean something; four are more than a benchmark has. */
export function rounded(value: number): number {
  return Number(value.toPrecision(5));
}

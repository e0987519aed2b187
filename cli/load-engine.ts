/** Loads a model for a command, with a bar on the terminal while a large one is read. */
import { Engine } from '../engine/engine.ts';
import type { EngineOptions } from '../engine/engine-options.ts';
import { withProgress } from './write-progress.ts';

/** @throws what `Engine.load` throws */
export function loadEngine(path: string, options: EngineOptions): Promise<Engine> {
  return withProgress('loading', (onProgress) => Engine.load(path, { ...options, onProgress }));
}

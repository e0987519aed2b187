/** Which Quern this is. */
import { readFileSync } from 'node:fs';

export function packageVersion(): string {
  // One folder higher in the compiled package.
  const path = import.meta.url.endsWith('.ts') ? '../package.json' : '../../package.json';
  return (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version;
}

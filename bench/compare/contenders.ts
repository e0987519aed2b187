/** Who is measured. Quern comes first: the others are compared with it. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Contender {
  readonly name: string;
  /** Started in a process of its own; a file in this folder. */
  readonly script: string;
  readonly args: readonly string[];
}

const QUERN: Contender = { name: 'quern', script: 'quern-peer.ts', args: [] };

const PEERS: readonly Contender[] = ['llama.cpp', 'node-llama-cpp'].map((name) => ({
  name,
  script: 'llama-peer.ts',
  args: [name],
}));

export const PEER_NAMES: readonly string[] = PEERS.map(({ name }) => name);

export function contenders(peerNames: readonly string[]): Contender[] {
  return [QUERN, ...PEERS.filter(({ name }) => peerNames.includes(name))];
}

const FOLDER = fileURLToPath(new URL('.', import.meta.url));

export function arePeersInstalled(): boolean {
  return existsSync(new URL('node_modules/node-llama-cpp/package.json', import.meta.url));
}

/** What the lock file names and nothing else. Its install script would look for a compiler and download sources; the
 * prebuilt library that is measured comes inside the package. */
export function installPeers(): void {
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: FOLDER,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
}

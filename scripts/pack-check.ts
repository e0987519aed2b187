/** Packs the package, installs the tarball in an empty folder as a user would, and uses it from there: by `import`, by
 * `require()`, by its types and by its command. Fails when the tarball is too large or has an install script. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { checkCommands } from './packed-commands.ts';

const MAX_TARBALL_BYTES = 8_000_000;
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall'];

function run(command: string, args: readonly string[], cwd: string): string {
  return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`pack check failed: ${what}`);
  process.stdout.write(`ok  ${what}\n`);
}

const USES: Readonly<Record<string, string>> = {
  'use.mjs': `
    import { Engine, bundledModelPath } from 'quern';
    import { dequantize, quantize } from 'quern/formats';
    import { createBackend } from 'quern/kernels';
    const row = dequantize('q8_0', quantize('q8_0', new Float32Array(32).fill(1)), 32);
    dequantize('q6_k', new Uint8Array(210), 256);
    dequantize('iq4_nl', new Uint8Array(18), 32);
    await using engine = await Engine.load(bundledModelPath());
    const { text } = await engine.generate('Once upon a time', { max_tokens: 8, temperature: 0 }).result;
    console.log(JSON.stringify({ text, one: row[0], backend: typeof createBackend }));`,
  'use.cjs': `
    const { Engine, bundledModelPath } = require('quern');
    const { quantize } = require('quern/formats');
    require('quern/kernels');
    (async () => {
      const engine = await Engine.load(bundledModelPath());
      const { text } = await engine.generate('Once upon a time', { max_tokens: 8, temperature: 0 }).result;
      await engine.close();
      console.log(JSON.stringify({ text, bytes: quantize('q4_0', new Float32Array(32)).length }));
    })();`,
  'use.ts': `
    import { Engine, bundledModelPath, type GenerationResult } from 'quern';
    import { dequantize } from 'quern/formats';
    const row: Float32Array = dequantize('f32', new Uint8Array(4), 1);
    export async function story(): Promise<GenerationResult> {
      const engine: Engine = await Engine.load(bundledModelPath());
      return engine.generate(String(row[0]), { max_tokens: 8 }).result;
    }`,
};

const root = process.cwd();
const folder = mkdtempSync(join(tmpdir(), 'quern-pack-'));
try {
  run('npm', ['run', '--silent', 'build'], root);
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], root)) as [
    { filename: string },
  ];
  const tarball = join(folder, basename(packed.filename));
  const { size } = statSync(tarball);
  check(size < MAX_TARBALL_BYTES, `the tarball has ${size} bytes, under ${MAX_TARBALL_BYTES}`);

  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'user', private: true }));
  run('npm', ['install', '--no-audit', '--no-fund', tarball], folder);
  const manifest = JSON.parse(readFileSync(join(folder, 'node_modules/quern/package.json'), 'utf8')) as {
    scripts?: Record<string, string>;
  };
  check(!INSTALL_SCRIPTS.some((name) => manifest.scripts?.[name] !== undefined), 'there is no install script');

  for (const [name, source] of Object.entries(USES)) writeFileSync(join(folder, name), source);
  const imported = JSON.parse(run(process.execPath, ['use.mjs'], folder)) as { text: string; one: number };
  check(
    imported.text.length > 0 && Math.abs(imported.one - 1) < 0.01,
    `import works: ${JSON.stringify(imported.text)}`,
  );
  const required = JSON.parse(run(process.execPath, ['use.cjs'], folder)) as { text: string; bytes: number };
  check(required.text === imported.text && required.bytes === 18, 'require() works and gives the same text');

  const typecheck = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--types', 'node'];
  const typeRoots = ['--typeRoots', join(root, 'node_modules/@types')];
  run(join(root, 'node_modules/.bin/tsc'), [...typecheck, ...typeRoots, '--skipLibCheck', 'false', 'use.ts'], folder);
  check(true, 'the types are usable');

  const quern = join(folder, 'node_modules/.bin/quern');
  const told = run(quern, ['run', '--temperature', '0', '--max-tokens', '8', 'Once upon a time'], folder);
  check(told.includes(imported.text), 'the command works');
  checkCommands(quern, folder, check);
} finally {
  rmSync(folder, { recursive: true, force: true });
  rmSync(join(root, 'dist'), { recursive: true, force: true });
}

#!/usr/bin/env node
// Starts the command line: compiled JavaScript in an installed package, the TypeScript sources themselves in a checkout.
import { existsSync } from 'node:fs';
import nodeModule from 'node:module';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `quern needs Node.js 22.18 or later; this is ${process.version}. ` +
      'In a checkout, `npm ci` brings one: use `npx quern` or `npm start --`.\n',
  );
  process.exitCode = 1;
} else {
  // A command is a process of its own, so this is nobody else's business: V8 finds its compiled code again, and in a
  // checkout the sources without their types, in the system's folder for temporary files. NODE_DISABLE_COMPILE_CACHE=1
  // does without.
  nodeModule.enableCompileCache();
  const source = new URL('../cli/main.ts', import.meta.url);
  const { main } = await import(
    existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href
  );
  await main(process.argv);
}

#!/usr/bin/env node
// Starts the command line: compiled JavaScript in an installed package, the TypeScript sources themselves in a checkout.
import { existsSync } from 'node:fs';
import nodeModule from 'node:module';

const source = new URL('../cli/main.ts', import.meta.url);
const isCheckout = existsSync(source);
const [major, minor] = process.versions.node.split('.').map(Number);
// The sources dispose of things with `await using`, which compiling for the package takes away.
const isTooOld = isCheckout ? major < 24 : major < 22 || (major === 22 && minor < 18);
if (isTooOld) {
  process.stderr.write(
    isCheckout
      ? `a checkout of quern runs on Node.js 24 or later; this is ${process.version}. ` +
          '`npm ci` brings one: use `npx quern` or `npm start --`.\n'
      : `quern needs Node.js 22.18 or later; this is ${process.version}.\n`,
  );
  process.exitCode = 1;
} else {
  // A command is a process of its own, so this is nobody else's business: V8 finds its compiled code again, and in a
  // checkout the sources without their types, in the system's folder for temporary files. NODE_DISABLE_COMPILE_CACHE=1
  // does without.
  nodeModule.enableCompileCache();
  const { main } = await import(isCheckout ? source.href : new URL('../dist/cli/main.js', import.meta.url).href);
  await main(process.argv);
}

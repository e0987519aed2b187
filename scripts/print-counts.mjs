// Prints "N passed, N failed, N skipped" from a Vitest JSON report. Plain JavaScript: it runs on whatever Node starts it.
import { readFileSync } from 'node:fs';

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const skipped = report.numPendingTests + report.numTodoTests;
console.log(`${report.numPassedTests} passed, ${report.numFailedTests} failed, ${skipped} skipped`);
if (report.numPassedTests === 0 || report.success !== true) process.exitCode = 1;

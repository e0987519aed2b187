/** The file that Piscina loads in a worker thread: hands it `runTask` from `step-worker.ts`.
 *
 * It is CommonJS because Piscina loads the file with `require`. Node runs `require` of an ES module in steps that may not
 * be interrupted: a worker that is terminated between two of them (the engine closes while a worker starts) aborts the
 * whole process with a failed assertion in `CreateRequiredModuleFacade`, seen in Node 24.21. `import()` has no such moment. */
module.exports = import('./step-worker.ts').then(({ runTask }) => runTask);

/** `setImmediate` of `node:timers/promises`. */
const immediate = (): Promise<void> => new Promise((resolve) => globalThis.setImmediate(resolve));

export { immediate as setImmediate };

/** What looking for a backend comes to. */

export type ProbeResult = { readonly available: true } | { readonly available: false; readonly reason: string };

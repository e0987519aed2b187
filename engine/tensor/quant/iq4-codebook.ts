/** The sixteen levels of IQ4_NL and IQ4_XS. Not evenly spaced: dense near zero, where most weights of a trained model
 * lie. The values are ggml's `kvalues_iq4nl`. A constant; never write to it. */
export const IQ4_LEVELS: Int8Array = Int8Array.of(
  -127,
  -104,
  -83,
  -65,
  -49,
  -35,
  -22,
  -10,
  1,
  13,
  25,
  38,
  53,
  69,
  89,
  113,
);

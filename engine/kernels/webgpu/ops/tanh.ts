/** Declares `fn tanh_safe(x: f32) -> f32`. WGSL lets `tanh` be computed as sinh / cosh, which is infinity over infinity for
 * large x, and says little of its error for small x; this has neither trouble.
 * Source  WGSL, section 15.7.4.1 (accuracy of built-in functions) */
export const TANH_CODE = /* wgsl */ `
fn tanh_safe(x: f32) -> f32 {
  let square = x * x;
  // The series to x^9; what is left out is less than 1e-8 of x.
  if (square < 0.0625) {
    return x * (1.0 + square * (-0.33333333 + square * (0.13333333 + square * (-0.053968254 + square * 0.021869489))));
  }
  // 1 - 1e-13 is 1 in f32. NaN stays NaN.
  let bounded = select(clamp(x, -15.0, 15.0), x, x != x);
  return 1.0 - 2.0 / (1.0 + exp(2.0 * bounded));
}
`;

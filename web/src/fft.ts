/** Discrete Fourier transform of any length with small prime factors (the models use 1000). */

interface Stage {
  readonly radix: number;
  /** Product of the radices of the stages before. */
  readonly nDone: number;
}

/** In binary64; arrays of real and imaginary parts. */
export class Fft {
  private readonly stages: Stage[] = [];
  private readonly cos: Float64Array;
  private readonly sin: Float64Array;
  private spare: [Float64Array, Float64Array];

  constructor(readonly n: number) {
    let nDone = 1;
    for (let radix = 2; nDone < n; radix++) {
      while ((n / nDone) % radix === 0) {
        this.stages.push({ radix, nDone });
        nDone *= radix;
      }
    }
    this.cos = Float64Array.from({ length: n }, (_, i) => Math.cos((2 * Math.PI * i) / n));
    this.sin = Float64Array.from({ length: n }, (_, i) => -Math.sin((2 * Math.PI * i) / n));
    this.spare = [new Float64Array(n), new Float64Array(n)];
  }

  /**
   * Returns sum over i of x[i] exp(−2πj ik / n); overwrites its input, keeps its output until the
   * next call. For the inverse, exchange real and imaginary parts on both sides and divide by n.
   */
  transform(re: Float64Array, im: Float64Array): [Float64Array, Float64Array] {
    let from: [Float64Array, Float64Array] = [re, im];
    let to = this.spare;
    for (const stage of this.stages) {
      this.pass(stage, from, to);
      [from, to] = [to, from];
    }
    this.spare = to;
    return from;
  }

  /**
   * Joins `radix` transforms of length nDone into one (Stockham's order: no bit reversal).
   *
   * After nDone, place j × (n / nDone) + k holds sum over p of x[k + p n / nDone] w^(jp), w of
   * order nDone.
   */
  private pass(
    { radix, nDone }: Stage,
    [re, im]: [Float64Array, Float64Array],
    [outRe, outIm]: [Float64Array, Float64Array],
  ): void {
    const { n, cos, sin } = this;
    const m = n / (nDone * radix);
    for (let s = 0; s < radix; s++) {
      for (let j = 0; j < nDone; j++) {
        const target = (j + nDone * s) * m;
        const source = j * radix * m;
        const turn = (j + nDone * s) * m;
        for (let k = 0; k < m; k++) {
          let u = re[source + k]!;
          let v = im[source + k]!;
          for (let q = 1, w = turn, at = source + m + k; q < radix; q++, w += turn, at += m) {
            const c = cos[w % n]!;
            const d = sin[w % n]!;
            u += re[at]! * c - im[at]! * d;
            v += re[at]! * d + im[at]! * c;
          }
          outRe[target + k] = u;
          outIm[target + k] = v;
        }
      }
    }
  }
}

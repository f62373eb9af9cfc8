/**
 * The prior (sections 6.3 to 6.5): which table row a symbol is coded with, and around which number.
 *
 * All numbers are integers, held in binary64 (JavaScript's `number`). Section 6.5 bounds every
 * partial sum by 2^47 for any model; binary64 holds every integer up to 2^53, so sums and products
 * are exact in any order. A shift to the right by s is floor(x × 2^−s): the product only changes
 * the exponent, so it is exact too. Integers of 32 bits, as the bit operators of JavaScript have
 * them, would overflow: the first layer alone reaches 2549088256.
 */

import { crc16 } from "./crc.js";
import { need, type NumberArray, type WeightFile } from "./weights.js";

const CONTEXT_CLIP = 127;
const ACTIVATION_MAX = 4095;
const MEAN_FRACTIONS = 8;
const MEAN_CLIP = 1016;
const TABLE_SUM = 65536;
const MAX_ENTRIES = 4096;
const MAX_WIDTH = 2 ** 20;

/** One layer for one group: weights [input][output] and biases. */
interface Layer {
  readonly weights: Float64Array;
  readonly biases: Float64Array;
}

export class Prior {
  /** D. */
  readonly nLatent: number;
  /** G. */
  readonly nGroups: number;
  /** D / G. */
  readonly groupSize: number;
  /** E, entries of a table row. */
  readonly nEntries: number;
  /** CRC-16 of section 6.3. */
  readonly fingerprint: number;
  /** Of the latest `predict`, per dimension of the group: the whole number at the centre. */
  readonly whole: Int32Array;
  /** Of the latest `predict`, per dimension of the group: where in `cumulatives` its row begins. */
  readonly row: Int32Array;
  /** Of every row, E + 1 sums that begin with 0 and end with 65536. */
  readonly cumulatives: Uint32Array;

  private readonly nPast: number;
  private readonly nScales: number;
  private readonly factors: readonly number[];
  private readonly layers: ReadonlyArray<readonly [Layer, Layer, Layer]>;
  private readonly context: Float64Array;
  private readonly hidden1: Float64Array;
  private readonly hidden2: Float64Array;
  private readonly output: Float64Array;

  /** Throws WeightsError where the arrays break a rule of section 6.1. */
  constructor(file: WeightFile) {
    const [w1, w2, w3] = [1, 2, 3].map((i) => file.array(`prior.w${i}`, "I16")) as Triple;
    const [b1, b2, b3] = [1, 2, 3].map((i) => file.array(`prior.b${i}`, "I32")) as Triple;
    const tables = file.array("prior.tables", "U16");
    const [nGroups = 0, nInputs = 0, width = 0] = w1.shape;
    const [nScales = 0, nFractions = 0, nEntries = 0] = tables.shape;
    const nLatent = file.info.config.nLatent;
    need(nGroups >= 1 && nLatent % nGroups === 0, "the groups do not divide the dimensions");
    this.nLatent = nLatent;
    this.nGroups = nGroups;
    this.groupSize = nLatent / nGroups;
    this.nPast = (nInputs - 1) / nLatent - 1;
    this.nScales = nScales;
    this.nEntries = nEntries;
    const nOut = 2 * this.groupSize;
    need(Number.isInteger(this.nPast) && this.nPast >= 0, "prior.w1 has the wrong shape");
    need(nInputs <= MAX_WIDTH && width >= 1 && width <= MAX_WIDTH, "a layer is too wide");
    for (const [array, shape] of [
      [w1, [nGroups, nInputs, width]], [b1, [nGroups, width]],
      [w2, [nGroups, width, width]], [b2, [nGroups, width]],
      [w3, [nGroups, width, nOut]], [b3, [nGroups, nOut]],
      [tables, [nScales, nFractions, nEntries]],
    ] as const) {
      need(array.shape.join() === shape.join(), "an array of the prior has the wrong shape");
    }
    need(nScales >= 1 && nFractions === MEAN_FRACTIONS, "prior.tables has the wrong shape");
    need(nEntries % 2 === 0 && nEntries >= 2 && nEntries <= MAX_ENTRIES, "a row has a wrong length");

    this.factors = file.info.priorShifts.map((shift) => 2 ** -shift);
    this.layers = Array.from({ length: nGroups }, (_, g) => [
      layer(w1, b1, g), layer(w2, b2, g), layer(w3, b3, g),
    ]);
    this.cumulatives = cumulativesOf(tables);
    this.fingerprint = fingerprintOf([w1, b1, w2, b2, w3, b3], file.info.priorShifts, tables);
    this.context = new Float64Array(nInputs);
    this.hidden1 = new Float64Array(width);
    this.hidden2 = new Float64Array(width);
    this.output = new Float64Array(nOut);
    this.whole = new Int32Array(this.groupSize);
    this.row = new Int32Array(this.groupSize);
  }

  /**
   * Computes `whole` and `row` of one group of one frame.
   * @param symbols of a chunk and channel, [frame][dimension]; those before the group are known
   */
  predict(symbols: Int16Array, frame: number, group: number, stepIndex: number): void {
    const { nLatent, nPast, context } = this;
    const nKnown = (nPast * nLatent) + group * this.groupSize;
    const first = (frame - nPast) * nLatent;
    context[0] = stepIndex;
    for (let i = 0; i < nKnown; i++) {
      context[1 + i] = first + i < 0 ? 0 : clamp(symbols[first + i]!, -CONTEXT_CLIP, CONTEXT_CLIP);
    }
    this.evaluate(context.subarray(0, 1 + nKnown), group);
  }

  /** Runs the network of section 6.5 on a context; public for the check values. */
  evaluate(context: Float64Array, group: number): { h1: Float64Array; h2: Float64Array } {
    const [s1, s2, s3, s4] = this.factors as [number, number, number, number];
    const [layer1, layer2, layer3] = this.layers[group]!;
    const { hidden1, hidden2, output, groupSize } = this;
    sumUp(context, layer1, hidden1);
    for (let j = 0; j < hidden1.length; j++) hidden1[j] = activation(hidden1[j]! * s1);
    sumUp(hidden1, layer2, hidden2);
    for (let j = 0; j < hidden2.length; j++) hidden2[j] = activation(hidden2[j]! * s2);
    sumUp(hidden2, layer3, output);
    for (let d = 0; d < groupSize; d++) {
      const mean = clamp(Math.floor(output[d]! * s3), -MEAN_CLIP, MEAN_CLIP);
      const scale = clamp(Math.floor(output[groupSize + d]! * s4), 0, this.nScales - 1);
      const whole = (mean + 4) >> 3;
      const fraction = mean - MEAN_FRACTIONS * whole + 4;
      this.whole[d] = whole;
      this.row[d] = (scale * MEAN_FRACTIONS + fraction) * (this.nEntries + 1);
    }
    return { h1: hidden1, h2: hidden2 };
  }
}

type Triple = [NumberArray, NumberArray, NumberArray];

function clamp(x: number, min: number, max: number): number {
  return x < min ? min : x > max ? max : x;
}

function activation(x: number): number {
  return clamp(Math.floor(x), 0, ACTIVATION_MAX);
}

let used = new Int32Array(0);

/**
 * Sets out[j] = biases[j] + sum over i of inputs[i] × weights[i][j]. Many inputs are zero; the
 * others go in fours, since reading and writing `out` takes longer than the products.
 */
function sumUp(inputs: Float64Array, { weights, biases }: Layer, out: Float64Array): void {
  out.set(biases);
  const width = out.length;
  if (used.length < inputs.length) used = new Int32Array(inputs.length);
  let n = 0;
  for (let i = 0; i < inputs.length; i++) if (inputs[i] !== 0) used[n++] = i;
  let at = 0;
  for (; at + 3 < n; at += 4) {
    const [a, b, c, d] = [used[at]!, used[at + 1]!, used[at + 2]!, used[at + 3]!];
    const [x, y, z, w] = [inputs[a]!, inputs[b]!, inputs[c]!, inputs[d]!];
    const [p, q, r, s] = [a * width, b * width, c * width, d * width];
    for (let j = 0; j < width; j++) {
      out[j]! += x * weights[p + j]! + y * weights[q + j]! + z * weights[r + j]! + w * weights[s + j]!;
    }
  }
  for (; at < n; at++) {
    const [x, p] = [inputs[used[at]!]!, used[at]! * width];
    for (let j = 0; j < width; j++) out[j]! += x * weights[p + j]!;
  }
}

function layer(weights: NumberArray, biases: NumberArray, group: number): Layer {
  const part = ({ shape, values }: NumberArray): Float64Array => {
    const size = values.length / shape[0]!;
    return values.subarray(group * size, (group + 1) * size);
  };
  return { weights: part(weights), biases: part(biases) };
}

function cumulativesOf({ shape, values }: NumberArray): Uint32Array {
  const nEntries = shape[2]!;
  const nRows = values.length / nEntries;
  const cumulatives = new Uint32Array(nRows * (nEntries + 1));
  for (let row = 0; row < nRows; row++) {
    const first = row * (nEntries + 1);
    for (let e = 0; e < nEntries; e++) {
      const frequency = values[row * nEntries + e]!;
      need(frequency >= 1, "a frequency is 0");
      cumulatives[first + e + 1] = cumulatives[first + e]! + frequency;
    }
    need(cumulatives[first + nEntries] === TABLE_SUM, "a table row does not sum to 65536");
  }
  return cumulatives;
}

function fingerprintOf(layers: NumberArray[], shifts: readonly number[], tables: NumberArray): number {
  let crc = 0xffff;
  for (const [i, { values }] of layers.entries()) crc = crc16(bigEndian(values, i % 2 ? 4 : 2), crc);
  crc = crc16(shifts, crc);
  return crc16(bigEndian(tables.values, 2), crc);
}

function* bigEndian(values: Float64Array, nBytes: 2 | 4): Generator<number> {
  for (const value of values) {
    for (let shift = 8 * (nBytes - 1); shift >= 0; shift -= 8) yield (value >> shift) & 0xff;
  }
}

/** Reads a weight file (section 6.1): a safetensors file with arrays and metadata. */

import { WeightsError } from "./errors.js";

/** All numbers of an array, in the order of the file. */
export interface NumberArray {
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

/** Sizes of the transforms. */
export interface TransformConfig {
  /** D. */
  readonly nLatent: number;
  readonly sampleRateHz: number;
  readonly nFft: number;
  readonly stftHop: number;
  readonly strides: readonly number[];
  readonly kernelFrames: number;
  readonly analysisBlocks: readonly number[];
  readonly synthesisBlocks: readonly number[];
}

/** What the metadata says of a model. */
export interface ModelInfo {
  readonly modelId: number;
  readonly name: string;
  readonly defaultStepIndex: number;
  readonly config: TransformConfig;
  /** s1 … s4. */
  readonly priorShifts: readonly number[];
}

type Json = Record<string, unknown>;

const SIZES: Record<string, number> = { I8: 1, I16: 2, U16: 2, F16: 2, I32: 4, F32: 4 };
const MAX_DESCRIPTION_BYTES = 2 ** 24;

/** A weight file, with its arrays by name. */
export class WeightFile {
  readonly info: ModelInfo;
  private readonly description: Json;
  private readonly data: DataView<ArrayBufferLike>;

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    need(bytes.length >= 8, "it has fewer than 8 bytes");
    const length = Number(view.getBigUint64(0, true));
    need(length <= Math.min(MAX_DESCRIPTION_BYTES, bytes.length - 8), "its description is cut off");
    this.description = parseObject(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    this.data = new DataView(bytes.buffer, bytes.byteOffset + 8 + length, bytes.length - 8 - length);
    checkLayout(this.description, this.data.byteLength);
    const metadata = asObject(this.description["__metadata__"], "__metadata__");
    this.info = readInfo(parseObject(String(metadata["hzc"])));
  }

  /** Returns an array. Throws WeightsError where it is missing or of another dtype. */
  array(name: string, dtype: "I16" | "I32" | "U16" | "F32"): NumberArray {
    const { shape, begin, n, dtype: found } = this.entry(name);
    need(found === dtype, `${name} is not ${dtype}`);
    const size = SIZES[dtype]!;
    const read = {
      I16: (at: number) => this.data.getInt16(at, true),
      U16: (at: number) => this.data.getUint16(at, true),
      I32: (at: number) => this.data.getInt32(at, true),
      F32: (at: number) => this.data.getFloat32(at, true),
    }[dtype];
    return { shape, values: Float64Array.from({ length: n }, (_, i) => read(begin + i * size)) };
  }

  /**
   * Returns the numbers of a network's array: F32, F16, or I8 with a scale for each row in an array
   * of the same name with `.scale` after it. Throws WeightsError where there is no such array.
   */
  floats(name: string): Float32Array<ArrayBuffer> {
    const { begin, n, dtype, shape } = this.entry(name);
    const { data } = this;
    if (dtype === "F32") return Float32Array.from({ length: n }, (_, i) => data.getFloat32(begin + 4 * i, true));
    if (dtype === "F16") {
      const values = halves();
      return Float32Array.from({ length: n }, (_, i) => values[data.getUint16(begin + 2 * i, true)]!);
    }
    need(dtype === "I8", `${name} is none of F32, F16 and I8`);
    const scales = this.floats(`${name}.scale`);
    need(scales.length === shape[0], `${name} has not one scale for each row`);
    const floats = Float32Array.from(new Int8Array(data.buffer, data.byteOffset + begin, n));
    const length = n / scales.length;
    scales.forEach((scale, row) => {
      for (let i = row * length; i < (row + 1) * length; i++) floats[i]! *= scale;
    });
    return floats;
  }

  private entry(name: string): { dtype: string; shape: number[]; begin: number; n: number } {
    const entry = asObject(this.description[name], name);
    const dtype = String(entry["dtype"]);
    const size = SIZES[dtype];
    need(size !== undefined, `${name} has an unknown dtype`);
    const shape = integers(entry["shape"], name);
    const [begin, end] = integers(entry["data_offsets"], name) as [number, number];
    const n = shape.reduce((product, length) => product * length, 1);
    need(n * size === end - begin, `${name} has other bytes than its shape needs`);
    return { dtype, shape, begin, n };
  }
}

let halfValues: Float32Array | null = null;

/** Returns the values of all binary16 numbers, by their bits. */
function halves(): Float32Array {
  halfValues ??= Float32Array.from({ length: 65536 }, (_, bits) => {
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
    const sign = bits >> 15 ? -1 : 1;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
  });
  return halfValues;
}

function readInfo(json: Json): ModelInfo {
  const sizes = asObject(json["config"], "config");
  const config = {
    nLatent: integer(sizes["n_latent"], "n_latent"),
    sampleRateHz: integer(sizes["sample_rate_hz"], "sample_rate_hz"),
    nFft: integer(sizes["n_fft"], "n_fft"),
    stftHop: integer(sizes["stft_hop"], "stft_hop"),
    strides: integers(sizes["strides"], "strides"),
    kernelFrames: integer(sizes["kernel_frames"], "kernel_frames"),
    analysisBlocks: integers(sizes["analysis_blocks"], "analysis_blocks"),
    synthesisBlocks: integers(sizes["synthesis_blocks"], "synthesis_blocks"),
  };
  const info = {
    modelId: integer(json["model_id"], "model_id"),
    name: String(json["name"]),
    defaultStepIndex: integer(json["default_step_index"], "default_step_index"),
    config,
    priorShifts: integers(json["prior_shifts"], "prior_shifts"),
  };
  need(info.priorShifts.length === 4, "prior_shifts are not four");
  need(info.priorShifts.every((shift) => shift >= 0 && shift <= 63), "a shift is not in 0 … 63");
  need(config.nLatent >= 1 && config.nLatent <= 255, "n_latent is not in 1 … 255");
  return info;
}

/** The arrays fill the file without gaps and do not overlap. */
function checkLayout(description: Json, nBytes: number): void {
  const ranges = Object.entries(description)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => integers(asObject(entry, name)["data_offsets"], name))
    .sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]!);
  let at = 0;
  for (const [begin, end] of ranges) {
    need(begin === at && end !== undefined && end >= begin, "its arrays leave gaps or overlap");
    at = end!;
  }
  need(at === nBytes, "its arrays do not fill it");
}

function parseObject(text: string): Json {
  try {
    return asObject(JSON.parse(text), "the description");
  } catch (error) {
    if (error instanceof SyntaxError) throw new WeightsError("a weight file's JSON is damaged");
    throw error;
  }
}

function asObject(value: unknown, name: string): Json {
  need(typeof value === "object" && value !== null && !Array.isArray(value), `${name} is missing`);
  return value as Json;
}

function integer(value: unknown, name: string): number {
  need(Number.isSafeInteger(value), `${name} is no integer`);
  return value as number;
}

function integers(value: unknown, name: string): number[] {
  need(Array.isArray(value), `${name} is no list of integers`);
  return (value as unknown[]).map((item) => integer(item, name));
}

export function need(condition: boolean, message: string): asserts condition {
  if (!condition) throw new WeightsError(`this is no usable weight file: ${message}`);
}

/** Decodes and encodes with the model that the package ships. */

import { readUrl } from "#read";

import type { Decoded, DecodeOptions, Decoder } from "./decoder.js";
import type { EncodeOptions, Encoder } from "./encoder.js";
import { loadDecoder, loadEncoder, type NetworkFiles } from "./load.js";
import { Model } from "./model.js";
import { WeightFile } from "./weights.js";

/** Bundlers look for these expressions, and take the files along. */
const SYNTHESIS = {
  graph: new URL("../../models/synthesis.onnx.gzip", import.meta.url),
  weights: new URL("../../models/synthesis.safetensors.gzip", import.meta.url),
};
const ANALYSIS = {
  graph: new URL("../../models/analysis.onnx.gzip", import.meta.url),
  weights: new URL("../../models/analysis.safetensors.gzip", import.meta.url),
};

let decoder: Promise<Decoder> | null = null;
let encoder: Promise<Encoder> | null = null;

/**
 * Returns the samples of a .hzc file, one array per channel, full scale ±1, not clipped.
 *
 * Throws the HzcError of section 11 of the specification for a damaged file.
 */
export async function decode(bytes: Uint8Array, options?: DecodeOptions): Promise<Decoded> {
  decoder ??= files(SYNTHESIS).then(loadDecoder);
  return (await decoder).decode(bytes, options);
}

/**
 * Returns the .hzc file of a recording, full scale ±1.
 *
 * Throws RangeError for no samples, or a value or rate that a file cannot hold.
 *
 * @param samples one array, or one per channel
 */
export async function encode(
  samples: Float32Array | readonly Float32Array[],
  sampleRateHz: number,
  options?: EncodeOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  encoder ??= loadShippedEncoder();
  const channels = samples instanceof Float32Array ? [samples] : samples;
  return (await encoder).encode(channels, sampleRateHz, options);
}

/** The prior and the steps are with the weights of the synthesis. */
async function loadShippedEncoder(): Promise<Encoder> {
  const [analysis, prior] = await Promise.all([files(ANALYSIS), unpacked(SYNTHESIS.weights)]);
  return loadEncoder(analysis, new Model(new WeightFile(prior)));
}

async function files(urls: { graph: URL; weights: URL }): Promise<NetworkFiles> {
  const [graph, weights] = await Promise.all([unpacked(urls.graph), unpacked(urls.weights)]);
  return { graph, weights };
}

async function unpacked(url: URL): Promise<Uint8Array> {
  const stream = (await readUrl(url)).pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

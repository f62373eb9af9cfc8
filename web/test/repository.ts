/** Where tests find the repository's files and, where they were made, the networks. */

import { FLACDecoder } from "@wasm-audio-decoders/flac";
import { existsSync, readFileSync } from "node:fs";

import type { NetworkFiles } from "../src/load.js";

export const repository = new URL("../../../", import.meta.url);
/** Has the Python package. */
export const PYTHON = process.env["PYTHON"] ?? "python3";
const models = new URL("../../models/", import.meta.url);

export function read(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(path, repository)));
}

export const skipWithoutModels =
  !existsSync(new URL("synthesis.onnx.gzip", models)) && "web/models is empty: `make web` fills it";

/** A network of the Python package; its waveforms are the references. */
export function reference(part: "synthesis" | "analysis"): NetworkFiles {
  return { weights: read("hzc/weights/base.safetensors"), graph: read(`hzc/weights/base.${part}.onnx`) };
}

export interface Vector {
  file: string;
  is_streamed: boolean;
  model_id: number;
  fingerprint: number;
  sample_rate_hz: number;
  n_channels: number;
  step_index: number;
  n_latent: number;
  step_offsets: number[] | null;
  n_frames: number;
  n_samples: number;
  chunks: [number, number][];
  symbols_sha256: string;
  reference?: string;
  min_snr_db?: number;
  error?: string;
  check?: string;
}

export const vectors = (
  JSON.parse(new TextDecoder().decode(read("formats/vectors/MANIFEST.json"))) as {
    vectors: Vector[];
  }
).vectors;

export async function readFlac(path: string): Promise<{ channels: Float32Array[]; rateHz: number }> {
  const decoder = new FLACDecoder();
  await decoder.ready;
  const decoded = await decoder.decodeFile(read(path));
  decoder.free();
  return { channels: decoded.channelData, rateHz: decoded.sampleRate };
}

export function snrDb(reference: Float32Array, other: Float32Array): number {
  let [signal, noise] = [0, 0];
  reference.forEach((x, i) => {
    signal += x * x;
    noise += (x - other[i]!) ** 2;
  });
  return 10 * Math.log10(signal / (noise + 1e-30));
}

/** Decodes and encodes apart from the page, so that the page never freezes. */

import * as ort from "#onnxruntime";

import { FRAME_RATE_HZ, MAX_STEP_INDEX } from "../src/container.js";
import type { OpenFile } from "../src/decoder.js";
import type { Encoder, Latents } from "../src/encoder.js";
import { HzcError } from "../src/errors.js";
import { loadDecoder, loadEncoder, type NetworkFiles } from "../src/load.js";
import { resample } from "../src/resample.js";
import type { Reply, Request } from "./messages.js";
import { nextPiece, UNIT_FRAMES } from "./pieces.js";
import { columnAt, columnsOf } from "./spectrogram.js";
import { wavFile } from "./wav.js";

const MAX_THREADS = 4;
const LADDER_OFFSETS = [-24, -16, -8, 8, 16, 24];

ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency) : 1;
ort.env.wasm.wasmPaths = { mjs: new URL("ort-wasm-simd-threaded.mjs", self.location.href) };

type Body<T> = T extends unknown ? Omit<T, "id"> : never;

let latest = 0;
let opened: OpenFile | null = null;
let latents: Latents | null = null;
let isUnitDone: boolean[] = [];
let position = 0;
let isUrgent = true;

/** Ends work for what is no longer shown. */
class Stale extends Error {}

const post = (id: number, reply: Body<Reply>, transfer: Transferable[] = []): void =>
  self.postMessage({ id, ...reply }, { transfer });

/** Lets messages in. */
async function breathe(id: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve));
  if (id !== latest) throw new Stale();
}

/** Fetches a compressed file of the page. */
async function fetched(name: string, what: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(new URL(`${name}.gzip`, self.location.href));
  if (!response.ok || response.body === null) throw new Error(`${name} cannot be fetched`);
  const nAll = Number(response.headers.get("Content-Length"));
  let nDone = 0;
  const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(part, controller) {
      nDone += part.length;
      if (nAll > 0) post(latest, { type: "progress", what, share: nDone / nAll });
      controller.enqueue(part);
    },
  });
  const stream = response.body.pipeThrough(counter).pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function network(part: "synthesis" | "analysis", what: string): Promise<NetworkFiles> {
  const graph = await fetched(`model/${part}.onnx`, what);
  return { graph, weights: await fetched(`model/${part}.safetensors`, what) };
}

async function loadSynthesis(): Promise<NetworkFiles> {
  ort.env.wasm.wasmBinary = await fetched("ort-wasm-simd-threaded.wasm", "Loading the runtime");
  return network("synthesis", "Loading the decoder");
}

const decoding = loadSynthesis().then(loadDecoder);
let encoding: Promise<Encoder> | null = null; // its network is loaded when it is first needed

async function loadAnalysis(): Promise<Encoder> {
  const { model } = await decoding;
  return loadEncoder(await network("analysis", "Loading the encoder"), model);
}

async function open(id: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const decoder = await decoding;
  await breathe(id);
  const file = decoder.open(bytes);
  opened = file;
  isUnitDone = new Array<boolean>(Math.ceil(file.nFrames / UNIT_FRAMES)).fill(false);
  position = 0;
  isUrgent = true;
  const { header, nSamples, chunks } = file.file;
  const payloads = chunks.flatMap((chunk) => chunk.payloads);
  post(id, {
    type: "opened", bytes, header, nOriginalSamples: nSamples, nSamples: file.nSamples,
    sampleRateHz: file.sampleRateHz, modelName: decoder.model.info.name, nChunks: chunks.length,
    nPayloadBytes: payloads.reduce((sum, payload) => sum + payload.length, 0),
  });
  await decodeAll(id, file);
}

async function decodeAll(id: number, file: OpenFile): Promise<void> {
  for (;;) {
    const piece = nextPiece(isUnitDone, Math.floor(position / UNIT_FRAMES), isUrgent);
    if (piece === null) return;
    isUrgent = false;
    const lastFrame = Math.min(file.nFrames, piece.end * UNIT_FRAMES);
    const channels = await file.samples(piece.first * UNIT_FRAMES, lastFrame);
    await breathe(id);
    if (opened !== file) throw new Stale();
    isUnitDone.fill(true, piece.first, piece.end);
    const first = (piece.first * UNIT_FRAMES * file.sampleRateHz) / FRAME_RATE_HZ;
    const [samples] = channels as [Float32Array];
    const firstColumn = columnAt(first, file.nSamples);
    const endColumn = columnAt(first + samples.length, file.nSamples);
    const columns = columnsOf(samples, first, file.nSamples, firstColumn, endColumn);
    post(id, { type: "samples", first, channels, columns, firstColumn },
      [columns, ...channels].map((array) => array.buffer));
  }
}

async function encode(id: number, channels: Float32Array[], sampleRateHz: number): Promise<void> {
  const encoder = await (encoding ??= loadAnalysis());
  latents = await encoder.latents(channels, sampleRateHz, {
    progress: async (done, all) => {
      post(id, { type: "progress", what: "Encoding", share: done / all });
      await breathe(id);
    },
  });
  const { defaultStepIndex } = encoder.model.info;
  await choose(id, defaultStepIndex);
  for (const offset of LADDER_OFFSETS) {
    const stepIndex = defaultStepIndex + offset;
    if (Math.abs(stepIndex) > MAX_STEP_INDEX) continue;
    await coded(id, latents, stepIndex);
  }
}

async function choose(id: number, stepIndex: number): Promise<void> {
  if (latents !== null) await open(id, await coded(id, latents, stepIndex));
}

/** Returns the file of a recording and tells its size. */
async function coded(id: number, from: Latents, stepIndex: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await (await encoding!).code(from, stepIndex, () => breathe(id));
  post(id, { type: "rung", stepIndex, nBytes: bytes.length });
  return bytes;
}

async function handle(request: Request): Promise<void> {
  const { id } = request;
  latest = Math.max(latest, id);
  if (request.type === "seek") {
    position = request.frame;
    isUrgent = true;
  } else if (request.type === "open") {
    latents = null;
    await open(id, request.bytes);
  } else if (request.type === "encode") await encode(id, request.channels, request.sampleRateHz);
  else if (request.type === "choose") await choose(id, request.stepIndex);
  else {
    const { sampleRateHz, originalRateHz, nOriginalSamples } = request;
    const channels = request.channels.map((channel) =>
      resample(channel, sampleRateHz, originalRateHz, nOriginalSamples),
    );
    post(id, { type: "wav", ...wavFile(channels, originalRateHz) });
  }
}

function report(id: number, error: unknown): void {
  if (error instanceof Stale) return;
  const kind = error instanceof HzcError ? `${error.name}: ` : "";
  post(id, { type: "error", message: kind + (error instanceof Error ? error.message : String(error)) });
}

self.onmessage = ({ data }: MessageEvent<Request>) =>
  void handle(data).catch((error: unknown) => report(data.id, error));
decoding.then(
  () => post(latest, { type: "ready" }),
  (error: unknown) => report(latest, error),
);

/** Decodes and encodes apart from the page, so that the page never freezes. */

import * as ort from "onnxruntime-web";

import { Codec, FRAME_RATE_HZ, HzcError, Model, loadTrunk, type OpenFile, type Trunk } from "../src/index.js";
import { nextPiece, UNIT_FRAMES } from "./pieces.js";
import type { Reply, Request } from "./messages.js";

ort.env.wasm.numThreads = 1;

const post = (reply: Reply, transfer: Transferable[] = []): void =>
  self.postMessage(reply, { transfer });

let opened: OpenFile | null = null;
let isUnitDone: boolean[] = [];
let position = 0;
let isUrgent = true;

/** Fetches a compressed file of the page. */
async function fetched(name: string, what: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(new URL(`${name}.gzip`, self.location.href));
  if (!response.ok || response.body === null) throw new Error(`${name} cannot be fetched`);
  const nAll = Number(response.headers.get("Content-Length"));
  let nDone = 0;
  const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(part, controller) {
      nDone += part.length;
      if (nAll > 0) post({ type: "progress", what, share: nDone / nAll });
      controller.enqueue(part);
    },
  });
  const stream = response.body.pipeThrough(counter).pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function loadCodec(analysis: Trunk | null): Promise<Codec> {
  const [prior, synthesis] = await parts;
  return new Codec(prior, synthesis, analysis);
}

async function loadParts(): Promise<[Model, Trunk]> {
  ort.env.wasm.wasmBinary = await fetched("ort-wasm-simd-threaded.wasm", "loading the runtime");
  const prior = await fetched("prior.safetensors", "loading the prior");
  const synthesis = await fetched("synthesis.onnx", "loading the decoder");
  return [new Model(prior), await loadTrunk(synthesis)];
}

const parts = loadParts();
const decoding = loadCodec(null);
let encoding: Promise<Codec> | null = null; // its network is loaded when it is first needed

async function decodeAll(file: OpenFile): Promise<void> {
  while (opened === file) {
    const piece = nextPiece(isUnitDone, Math.floor(position / UNIT_FRAMES), isUrgent);
    if (piece === null) return;
    isUrgent = false;
    const end = Math.min(file.nFrames, piece.end * UNIT_FRAMES);
    const channels = await file.samples(piece.first * UNIT_FRAMES, end);
    if (opened !== file) return;
    isUnitDone.fill(true, piece.first, piece.end);
    const first = (piece.first * UNIT_FRAMES * file.sampleRateHz) / FRAME_RATE_HZ;
    post({ type: "samples", first, channels }, channels.map((channel) => channel.buffer));
    await new Promise((resolve) => setTimeout(resolve)); // lets messages in
  }
}

async function handle(request: Request): Promise<void> {
  if (request.type === "seek") {
    position = request.frame;
    isUrgent = true;
  } else if (request.type === "open") {
    opened = null;
    const file = (await decoding).open(request.bytes);
    opened = file;
    isUnitDone = new Array<boolean>(Math.ceil(file.nFrames / UNIT_FRAMES)).fill(false);
    position = 0;
    isUrgent = true;
    const { header, nSamples } = file.file;
    post({
      type: "opened", header, nBytes: request.bytes.length, nOriginalSamples: nSamples,
      nSamples: file.nSamples, sampleRateHz: file.sampleRateHz,
    });
    await decodeAll(file);
  } else {
    encoding ??= fetched("analysis.onnx", "loading the encoder").then(loadTrunk).then(loadCodec);
    const bytes = await (await encoding).encode(request.channels, request.sampleRateHz, {
      progress: (done, all) => post({ type: "progress", what: "encoding", share: done / all }),
    });
    post({ type: "encoded", bytes });
  }
}

function report(error: unknown): void {
  const kind = error instanceof HzcError ? `${error.name}: ` : "";
  post({ type: "error", message: kind + (error instanceof Error ? error.message : String(error)) });
}

self.onmessage = ({ data }: MessageEvent<Request>) => void handle(data).catch(report);
decoding.then(() => post({ type: "ready" }), report);

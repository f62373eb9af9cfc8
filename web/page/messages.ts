/** What the page and its worker say to each other. */

import type { Header } from "../src/index.js";

/** `id` counts what was opened: a worker that gets a higher one drops the work for lower ones. */
export type Request = { readonly id: number } & (
  | { readonly type: "open"; readonly bytes: Uint8Array<ArrayBuffer> }
  /** Decode from here on first: somebody listens. */
  | { readonly type: "seek"; readonly frame: number }
  | { readonly type: "encode"; readonly channels: Float32Array[]; readonly sampleRateHz: number }
  /** Open what was encoded last at another step index. */
  | { readonly type: "choose"; readonly stepIndex: number }
  | {
      readonly type: "wav";
      readonly channels: Float32Array[];
      readonly sampleRateHz: number;
      /** Of the result. */
      readonly originalRateHz: number;
      readonly nOriginalSamples: number;
    }
);

export interface Opened {
  readonly type: "opened";
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly header: Header;
  /** Of all payloads; what remains are headers and checksums. */
  readonly nPayloadBytes: number;
  readonly nChunks: number;
  readonly modelName: string;
  /** Of the original, per channel, at its own rate. */
  readonly nOriginalSamples: number;
  /** Of the samples that follow, per channel. */
  readonly nSamples: number;
  readonly sampleRateHz: number;
}

export interface Samples {
  readonly type: "samples";
  readonly first: number;
  readonly channels: Float32Array[];
  /** Columns of the spectrogram, from `firstColumn` on. */
  readonly columns: Uint8Array;
  readonly firstColumn: number;
}

export interface Rung {
  readonly stepIndex: number;
  readonly nBytes: number;
}

export type Reply = { readonly id: number } & (
  | { readonly type: "ready" }
  | { readonly type: "progress"; readonly what: string; readonly share: number }
  | Opened
  | Samples
  | ({ readonly type: "rung" } & Rung)
  | { readonly type: "wav"; readonly blob: Blob; readonly nClipped: number }
  | { readonly type: "error"; readonly message: string }
);

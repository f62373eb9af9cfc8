/** What the page and its worker say to each other. */

import type { Header } from "../src/index.js";

export type Request =
  | { readonly type: "open"; readonly bytes: Uint8Array }
  /** Decode from here on first: somebody listens. */
  | { readonly type: "seek"; readonly frame: number }
  | {
      readonly type: "encode";
      readonly channels: Float32Array[];
      readonly sampleRateHz: number;
    };

export interface Opened {
  readonly type: "opened";
  readonly header: Header;
  readonly nBytes: number;
  /** Of the original, per channel, at its own rate. */
  readonly nOriginalSamples: number;
  /** Of the samples that follow, per channel. */
  readonly nSamples: number;
  readonly sampleRateHz: number;
}

export type Reply =
  | { readonly type: "ready" }
  | { readonly type: "progress"; readonly what: string; readonly share: number }
  | Opened
  | { readonly type: "samples"; readonly first: number; readonly channels: Float32Array[] }
  | { readonly type: "encoded"; readonly bytes: Uint8Array }
  | { readonly type: "error"; readonly message: string };

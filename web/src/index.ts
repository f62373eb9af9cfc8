/** Reads and writes .hzc files. */

export { Decoder, OpenFile, type Decoded, type DecodeOptions } from "./decoder.js";
export { Encoder, type EncodeOptions, type Latents, type LatentsOptions } from "./encoder.js";
export {
  FRAME_RATE_HZ, MAX_STEP_INDEX, countFrames, pack, unpack, type Chunk, type Header, type HzcFile,
} from "./container.js";
export * from "./errors.js";
export { loadDecoder, loadEncoder, type NetworkFiles } from "./load.js";
export { Model, type ChunkSymbols } from "./model.js";
export { decode, encode } from "./shipped.js";
export type { Progress } from "./transforms.js";
export { WeightFile } from "./weights.js";

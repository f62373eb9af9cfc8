/** Reads and writes .hzc files. */

export { Codec, OpenFile, type Decoded, type EncodeOptions, type Progress } from "./codec.js";
export {
  FRAME_RATE_HZ, countFrames, pack, unpack, type Chunk, type Header, type HzcFile,
} from "./container.js";
export * from "./errors.js";
export { Model, type ChunkSymbols } from "./model.js";
export { loadTrunk } from "./onnx.js";
export type { Trunk } from "./transforms.js";

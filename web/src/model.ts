/** A model: what turns the payloads of a file into symbols, and back. */

import type { Chunk, Header } from "./container.js";
import { DesyncError, UnknownModelError } from "./errors.js";
import { decodePayload, encodePayload } from "./payload.js";
import { Prior } from "./prior.js";
import { need, WeightFile, type ModelInfo } from "./weights.js";

/** Symbols of one chunk, one array per channel, [frame][dimension]. */
export type ChunkSymbols = readonly Int16Array[];

export class Model {
  readonly info: ModelInfo;
  readonly prior: Prior;
  /** Learned steps, one per dimension. */
  readonly baseStep: Float64Array;

  /**
   * @param file arrays other than the prior's and `base_step` are not needed
   *
   * Throws WeightsError where it breaks a rule of section 6.1.
   */
  constructor(file: WeightFile) {
    this.info = file.info;
    this.prior = new Prior(file);
    this.baseStep = file.array("base_step", "F32").values;
    need(this.baseStep.length === this.info.config.nLatent, "base_step has the wrong shape");
  }

  /** Throws UnknownModelError or DesyncError where a file was made with another model. */
  check(header: Header): void {
    const { modelId, config } = this.info;
    if (header.modelId !== modelId) {
      throw new UnknownModelError(`unknown model (found ${header.modelId}, expected ${modelId})`, "M1");
    }
    if (header.fingerprint !== this.prior.fingerprint || header.nLatent !== config.nLatent) {
      throw new DesyncError("the file was made with another prior than this model has", "M2");
    }
  }

  /** Returns the symbols of a chunk. Throws CorruptError where a payload is no coded stream. */
  decode(header: Header, chunk: Chunk): ChunkSymbols {
    return chunk.payloads.map((payload) =>
      decodePayload(this.prior, payload, chunk.nFrames, header.stepIndex),
    );
  }

  /** Returns the chunk that stands for symbols. */
  encode(stepIndex: number, gainHalfDb: number, symbols: ChunkSymbols): Chunk {
    return {
      nFrames: symbols[0]!.length / this.info.config.nLatent,
      gainHalfDb,
      payloads: symbols.map((channel) => encodePayload(this.prior, channel, stepIndex)),
    };
  }
}

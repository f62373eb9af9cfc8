/** Decoder and encoder from the files of a model. */

import { Decoder } from "./decoder.js";
import { Encoder } from "./encoder.js";
import { Model } from "./model.js";
import { loadTrunk } from "./onnx.js";
import { WeightFile } from "./weights.js";

/** One network: its graph without weights, and a weight file with its arrays. */
export interface NetworkFiles {
  readonly graph: Uint8Array;
  readonly weights: Uint8Array;
}

/**
 * Returns a decoder. A weight file of the Python package will do: it has all arrays.
 *
 * Throws WeightsError where the files are damaged or do not belong together.
 */
export async function loadDecoder({ graph, weights }: NetworkFiles): Promise<Decoder> {
  const file = new WeightFile(weights);
  return new Decoder(new Model(file), await loadTrunk("synthesis", graph, file));
}

/**
 * Returns an encoder. Throws as `loadDecoder`.
 *
 * @param model with the prior and the steps; that of the weights where it is left out
 */
export async function loadEncoder({ graph, weights }: NetworkFiles, model?: Model): Promise<Encoder> {
  const file = new WeightFile(weights);
  return new Encoder(model ?? new Model(file), await loadTrunk("analysis", graph, file));
}

/** Networks through ONNX Runtime's WebAssembly build. */

import * as ort from "#onnxruntime";

import { withWeights } from "./graph.js";
import type { Trunk } from "./transforms.js";
import type { WeightFile } from "./weights.js";

/**
 * Returns a network.
 *
 * @param part "analysis" or "synthesis"
 * @param graph the ONNX graph of that part, without weights
 * @param weights a weight file that has the arrays of that part
 *
 * Throws WeightsError where they do not belong together.
 */
export async function loadTrunk(
  part: "analysis" | "synthesis",
  graph: Uint8Array,
  weights: WeightFile,
): Promise<Trunk> {
  const whole = withWeights(graph, (name) => weights.floats(`${part}.${name}`));
  const session = await ort.InferenceSession.create(whole, { executionProviders: ["wasm"] });
  return async (inputs) => {
    const feeds: Record<string, ort.Tensor> = {};
    for (const name of session.inputNames) {
      const { values, shape } = inputs[name]!;
      feeds[name] = new ort.Tensor("float32", values, shape);
    }
    const outputs = await session.run(feeds);
    return Object.fromEntries(
      Object.entries(outputs).map(([name, tensor]) => [name, tensor.data as Float32Array]),
    );
  };
}

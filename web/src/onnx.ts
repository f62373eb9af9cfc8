/** Networks through ONNX Runtime's WebAssembly build. */

import * as ort from "onnxruntime-web";

import type { Trunk } from "./transforms.js";

/** Returns the network of an ONNX file with one input; the number of times is free. */
export async function loadTrunk(bytes: Uint8Array): Promise<Trunk> {
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  const inputName = session.inputNames[0]!;
  return async (input, shape) => {
    const outputs = await session.run({ [inputName]: new ort.Tensor("float32", input, shape) });
    const arrays: Record<string, Float32Array> = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      arrays[name] = tensor.data as Float32Array;
    }
    return arrays;
  };
}

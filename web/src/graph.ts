/**
 * Puts weights into an ONNX graph that was written without them.
 *
 * The graphs lie next to the weight file of a model. Their initialisers are named like its arrays
 * and marked as external. ONNX Runtime wants them in the file: the marks are replaced by numbers.
 * Only the protocol buffer's frame is read; the numbers below are those of onnx.proto3.
 */

import { need } from "./weights.js";

const MODEL_GRAPH = 7;
const GRAPH_INITIALIZER = 5;
const TENSOR_NAME = 8;
const TENSOR_RAW_DATA = 9;
const TENSOR_EXTERNAL_DATA = 13;
const TENSOR_DATA_LOCATION = 14;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

interface Field {
  readonly number: number;
  /** With its tag. */
  readonly whole: Uint8Array;
  /** Of a length-delimited field; empty for others. */
  readonly content: Uint8Array;
}

/** Returns a graph with its weights; `weightsOf` gives those of a name. */
export function withWeights(graph: Uint8Array, weightsOf: (name: string) => Float32Array): Uint8Array {
  return replaced(graph, MODEL_GRAPH, (parts) =>
    replaced(parts, GRAPH_INITIALIZER, (tensor) => filled(tensor, weightsOf)),
  );
}

function filled(tensor: Uint8Array, weightsOf: (name: string) => Float32Array): Uint8Array {
  const fields = [...fieldsOf(tensor)];
  if (!fields.some(({ number }) => number === TENSOR_EXTERNAL_DATA)) return tensor;
  const name = fields.find(({ number }) => number === TENSOR_NAME)?.content;
  need(name !== undefined, "the graph has a tensor without a name");
  const weights = weightsOf(new TextDecoder().decode(name));
  const kept = fields.filter(
    ({ number }) => number !== TENSOR_EXTERNAL_DATA && number !== TENSOR_DATA_LOCATION,
  );
  const bytes = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
  return joined([...kept.map(({ whole }) => whole), ...delimited(TENSOR_RAW_DATA, bytes)]);
}

/** Returns a message in which the content of all fields of one number has been changed. */
function replaced(
  message: Uint8Array,
  number: number,
  change: (content: Uint8Array) => Uint8Array,
): Uint8Array {
  return joined(
    [...fieldsOf(message)].flatMap((field) =>
      field.number === number ? delimited(number, change(field.content)) : [field.whole],
    ),
  );
}

function* fieldsOf(message: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let [value, factor] = [0, 1];
    for (;;) {
      const byte = message[at++];
      need(byte !== undefined, "the graph is cut off");
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  };
  while (at < message.length) {
    const start = at;
    const tag = varint();
    const [number, type] = [Math.floor(tag / 8), tag % 8];
    let length = 0;
    if (type === VARINT) varint();
    else if (type === FIXED64) at += 8;
    else if (type === FIXED32) at += 4;
    else if (type === LENGTH_DELIMITED) length = varint();
    else need(false, "this is no ONNX graph");
    const content = message.subarray(at, at + length);
    at += length;
    need(at <= message.length, "the graph is cut off");
    yield { number, whole: message.subarray(start, at), content };
  }
}

/** Returns the parts of a length-delimited field. */
function delimited(number: number, content: Uint8Array): Uint8Array[] {
  return [varintOf(8 * number + LENGTH_DELIMITED), varintOf(content.length), content];
}

function varintOf(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push(128 + (value % 128));
  return Uint8Array.from([...bytes, value]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

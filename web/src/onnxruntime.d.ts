/** Node has one build of ONNX Runtime, browsers another: see `imports` in package.json. */
declare module "#onnxruntime" {
  export * from "onnxruntime-web";
}

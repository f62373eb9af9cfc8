/** Builds the static page into site/; copies the networks where web/models has them. */

import { build } from "esbuild";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const here = (path) => new URL(path, import.meta.url);
const PRIOR_ARRAYS = /^(prior\..*|base_step)$/;

/** Returns a weight file with only those arrays that decide the symbols (section 6.1). */
function priorOf(weights) {
  const length = Number(weights.readBigUInt64LE(0));
  const description = JSON.parse(weights.toString("utf8", 8, 8 + length));
  const kept = { __metadata__: description.__metadata__ };
  const parts = [];
  let at = 0;
  for (const [name, entry] of Object.entries(description)) {
    if (!PRIOR_ARRAYS.test(name)) continue;
    const [begin, end] = entry.data_offsets;
    kept[name] = { ...entry, data_offsets: [at, at + end - begin] };
    parts.push(weights.subarray(8 + length + begin, 8 + length + end));
    at += end - begin;
  }
  const text = Buffer.from(JSON.stringify(kept));
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([head, text, ...parts]);
}

rmSync(here("site/"), { recursive: true, force: true });
mkdirSync(here("site/"));
await build({
  absWorkingDir: here(".").pathname,
  entryPoints: ["page/page.ts", "page/worker.ts"],
  outdir: "site",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  alias: { "onnxruntime-web": "onnxruntime-web/wasm" },
  logLevel: "warning",
});
for (const name of ["index.html", "style.css", "offline.js"]) copyFileSync(here(`page/${name}`), here(`site/${name}`));

/** Static servers seldom compress these; the worker unpacks them. */
const compress = (name, bytes) =>
  writeFileSync(here(`site/${name}.gzip`), gzipSync(bytes, { level: 9 }));

const wasm = "ort-wasm-simd-threaded.wasm";
compress(wasm, readFileSync(here(`node_modules/onnxruntime-web/dist/${wasm}`)));
compress("prior.safetensors", priorOf(readFileSync(here("../hzc/weights/base.safetensors"))));
for (const name of ["analysis.onnx", "synthesis.onnx"]) {
  if (existsSync(here(`models/${name}`))) compress(name, readFileSync(here(`models/${name}`)));
  else console.log(`${name} is not in web/models: the page cannot run without it`);
}

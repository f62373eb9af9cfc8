/** Builds the static page into site/, out of page/, models/ and ONNX Runtime. */

import { build } from "esbuild";
import { createHash } from "node:crypto";
import {
  copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync,
} from "node:fs";
import { gzipSync } from "node:zlib";

const MAX_BYTES = 16e6;

const here = (path) => new URL(path, import.meta.url);
const runtime = (name) => here(`node_modules/onnxruntime-web/dist/${name}`);

rmSync(here("site/"), { recursive: true, force: true });
mkdirSync(here("site/model/"), { recursive: true });
await build({
  absWorkingDir: here(".").pathname,
  entryPoints: ["page/page.ts", "page/worker.ts"],
  outdir: "site",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  conditions: ["onnxruntime-web-use-extern-wasm"], // its threads load the runtime's own module
  logLevel: "warning",
});
for (const name of ["index.html", "style.css", "onnxruntime-licence.txt"]) copyFileSync(here(`page/${name}`), here(`site/${name}`));
copyFileSync(runtime("ort-wasm-simd-threaded.mjs"), here("site/ort-wasm-simd-threaded.mjs"));
// Static servers seldom compress this; the worker unpacks it.
const wasm = gzipSync(readFileSync(runtime("ort-wasm-simd-threaded.wasm")), { level: 9 });
writeFileSync(here("site/ort-wasm-simd-threaded.wasm.gzip"), wasm);
const models = existsSync(here("models/")) ? readdirSync(here("models/")) : [];
for (const name of models) copyFileSync(here(`models/${name}`), here(`site/model/${name}`));

const names = readdirSync(here("site/"), { recursive: true })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => statSync(here(`site/${name}`)).isFile())
  .sort();
const hash = createHash("sha256");
for (const name of names) hash.update(name).update(readFileSync(here(`site/${name}`)));
const offline = readFileSync(here("page/offline.js"), "utf8")
  .replace("@VERSION@", `hzc ${hash.digest("hex").slice(0, 16)}`)
  .replace('"@FILES@"', names.map((name) => JSON.stringify(name)).join(", "));
writeFileSync(here("site/offline.js"), offline);

// `hzc play` serves all of this but the models, which it has, and the service worker.
rmSync(here("../hzc/page/"), { recursive: true, force: true });
mkdirSync(here("../hzc/page/"));
for (const name of names.filter((name) => !name.startsWith("model/"))) {
  copyFileSync(here(`site/${name}`), here(`../hzc/page/${name}`));
}

let nBytes = 0;
for (const name of [...names, "offline.js"]) {
  const { size } = statSync(here(`site/${name}`));
  nBytes += size;
  console.log(`${String(size).padStart(9)}  ${name}`);
}
console.log(`${String(nBytes).padStart(9)}  bytes in all, at most ${MAX_BYTES}`);
if (models.length === 0) console.log("web/models is empty: `make web` fills it; `hzc play` needs no models there");
if (nBytes > MAX_BYTES) {
  console.error("the page is too large: make models of fewer bits, scripts/models.py --bits");
  process.exit(1);
}

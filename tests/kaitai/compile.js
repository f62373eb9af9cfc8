// Makes hzc_ksy.py, a parser of .hzc files, from formats/hzc.ksy.
//
// usage: npm install --no-save kaitai-struct-compiler@0.11.0 js-yaml
//        node tests/kaitai/compile.js && ruff format tests/kaitai/hzc_ksy.py
//
// No file of this folder is called hzc.py, and no test lies here: either could hide the package.
"use strict";

const { createHash } = require("node:crypto");
const { readFileSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const compiler = require("kaitai-struct-compiler");
const yaml = require("js-yaml");

const source = readFileSync(join(__dirname, "../../formats/hzc.ksy"));
const digest = createHash("sha256").update(source).digest("hex");
const header = [
  "# Made by tests/kaitai/compile.js from formats/hzc.ksy, then formatted: do not edit.",
  `# sha256 of hzc.ksy: ${digest}`,
  "# ruff: noqa",
];

compiler.compile("python", yaml.load(source), null, false).then((files) => {
  const text = [...header, ...Object.values(files)[0].split("\n").slice(1)].join("\n");
  writeFileSync(join(__dirname, "hzc_ksy.py"), text);
});

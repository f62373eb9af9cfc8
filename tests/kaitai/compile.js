// Prints a Python parser of .hzc files, made from formats/hzc.ksy.
//
// usage: npm install --no-save kaitai-struct-compiler@0.11.0 js-yaml && node tests/kaitai/compile.js
"use strict";

const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const compiler = require("kaitai-struct-compiler");
const yaml = require("js-yaml");

const source = readFileSync(join(__dirname, "../../formats/hzc.ksy"));
compiler.compile("python", yaml.load(source), null, false).then((files) => {
  console.log(Object.values(files)[0]);
});

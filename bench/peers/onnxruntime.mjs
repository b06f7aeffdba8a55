// ONNX Runtime as a contestant (inference only), by the protocol of contest.hpp.
// Run: node onnxruntime.mjs DIRECTORY [--threads N]. DIRECTORY has node_modules/onnxruntime-node and
// what export_onnx.py writes.
//
// The public run() waits for a turn of the event loop, 20 us and more; the binding below it is
// called instead, with outputs that are there already. What JavaScript costs is left: 15 us a call
// with three inputs and two outputs, which is most of a streaming step and little of anything else.
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import readline from 'node:readline';

const [directory, option, count] = process.argv.slice(2);
const allowed = option === '--threads' ? Number(count) : 1;
if (!directory || !(allowed >= 1)) {
  console.error('usage: node onnxruntime.mjs DIRECTORY [--threads N]');
  process.exit(2);
}
const require = createRequire(path.resolve(directory, 'node_modules', 'x'));
const {Tensor} = require('onnxruntime-common');
const home = path.dirname(require.resolve('onnxruntime-node'));
const {binding, initOrt} = require(path.join(home, 'binding.js'));
const {version} = JSON.parse(fs.readFileSync(path.join(home, '..', 'package.json')));
initOrt();

const slotMs = 80;
const networks = {
  a: {inputs: 86, steps: 50, outputs: 1},
  b: {inputs: 23, steps: 60, outputs: 3},
  g: {inputs: 23, steps: 60, outputs: 3},
  t: {inputs: 23, steps: 60, outputs: 3, sampleFirst: true},
  tm: {inputs: 23, steps: 60, outputs: 3, sampleFirst: true},
};
const streamInputs = 23, streamColumns = 64;

// The series and its windows, as in work.hpp.
function series(inputs, columns) {
  return Float32Array.from({length: inputs * columns}, (_, i) => {
    let x = (Math.imul(1000, 0x9e3779b9) + i) | 0;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    return ((x ^ (x >>> 16)) / 2 ** 31) * Math.sqrt(3);
  });
}

function windows({inputs, steps, sampleFirst}, batch) {
  const from = series(inputs, steps + batch - 1);
  const out = new Float32Array(steps * batch * inputs);
  const [rows, columns] = sampleFirst ? [batch, steps] : [steps, batch];
  for (let row = 0; row < rows; ++row)
    out.set(from.subarray(row * inputs, (row + columns) * inputs), row * columns * inputs);
  return out;
}

const tensor = (values, shape) => new Tensor('float32', values, shape);

function load(file, threads) {
  const session = new binding.InferenceSession();
  session.loadModel(path.join(directory, file), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    extra: {session: {set_denormal_as_zero: '1'}},
  });
  return session;
}

// A job: call() does the work once, result() gives what came out.
function inference(name, batch, threads) {
  const network = networks[name];
  const session = load(batch === 1 ? `${name}_1.onnx` : `${name}.onnx`, threads);
  const {steps, inputs, sampleFirst} = network;
  const x = tensor(windows(network, batch), [...(sampleFirst ? [batch, steps] : [steps, batch]), inputs]);
  const logits = new Float32Array(batch * network.outputs);
  const feeds = {x}, fetches = {logits: tensor(logits, [batch, network.outputs])};
  return {call: () => session.run(feeds, fetches, {}), result: () => logits};
}

function stream(hidden, threads) {
  const session = load(`stream_${hidden}.onnx`, threads);
  const values = series(streamInputs, streamColumns);
  const steps = Array.from({length: streamColumns}, (_, i) =>
    tensor(values.slice(i * streamInputs, (i + 1) * streamInputs), [1, 1, streamInputs]));
  // Two pairs of states that take turns: one is read while the other is written.
  const states = [0, 1].map(() => [0, 1].map(() => tensor(new Float32Array(hidden), [1, 1, hidden])));
  let next = 0;
  return {
    call() {
      const [[h, c], [h_next, c_next]] = next % 2 ? [states[1], states[0]] : states;
      session.run({x: steps[next % streamColumns], h, c}, {h_next, c_next}, {});
      ++next;
    },
    result: () => states[next % 2][0].data,
  };
}

function make(work, threads) {
  const [kind, which] = work.split('_');
  if (kind === 'stream') return stream(Number(which), threads);
  if (kind === 'infer' && which in networks) return inference(which, 32, threads);
  if (kind === 'window' && which in networks) return inference(which, 1, threads);
  return null;
}

function timeCalls(job, calls) {
  const start = process.hrtime.bigint();
  for (let i = 0; i < calls; ++i) job.call();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

const entries = new Map();

// Warms up and finds the number of calls.
function enter(name, threads) {
  const job = make(name, threads);
  if (!job) return {job};
  timeCalls(job, 2);
  let calls = 1, ms = timeCalls(job, 1);
  while (ms < slotMs / 2) ms = timeCalls(job, calls *= 2);
  return {job, ms: ms / calls, calls: Math.max(1, Math.round(calls * slotMs / ms))};
}

// On one thread where that is faster.
function enterBest(name) {
  const all = enter(name, allowed);
  if (allowed === 1 || !all.job) return all;
  const one = enter(name, 1);
  return one.ms < all.ms ? one : all;
}

function answer(name) {
  if (name === 'about') return `ONNX Runtime ${version}`;
  if (name.endsWith('_dense') || name.endsWith('_paused')) return 'none';
  if (name.startsWith('check_')) {
    const work = name.slice('check_'.length), job = make(work, allowed);
    if (!job) return 'none';
    const numbers = [];
    for (let i = 0; i < (work.startsWith('stream') ? 4 : 1); ++i) {
      job.call();
      numbers.push(...job.result());
    }
    return numbers.join(' ');
  }
  if (!entries.has(name)) entries.set(name, enterBest(name));
  const {job, calls} = entries.get(name);
  return job ? String(timeCalls(job, calls) / calls) : 'none';
}

for await (const name of readline.createInterface({input: process.stdin})) {
  try {
    console.log(answer(name));
  } catch (error) {
    console.log(`error: ${String(error).replaceAll('\n', ' ')}`);
  }
}

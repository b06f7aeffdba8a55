// Runs ONNX files in ONNX Runtime and compares with what tsdl computed.
// Run: node run.mjs DIRECTORY, with TSDL_ONNXRUNTIME naming a directory that has
// node_modules/onnxruntime-node; where it is not set, exits with 77. DIRECTORY has NAME.onnx with
// NAME.json, as cases.cpp writes them: features of 17 windows, and what must come out.
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';

const tolerance = 1e-5;
const [directory] = process.argv.slice(2);
const runtime = process.env.TSDL_ONNXRUNTIME;
if (!runtime) {
  console.log('skipped: TSDL_ONNXRUNTIME names no directory that has onnxruntime-node');
  process.exit(77);
}
const {InferenceSession, Tensor, env} = createRequire(path.resolve(runtime, 'node_modules', 'x'))('onnxruntime-node');

class Mismatch extends Error {}

function check(condition, what) {
  if (!condition) throw new Mismatch(what);
}

// The largest difference, each relative to what must come out where that is above 1; of numbers in
// units of their targets.
function difference(got, want, units) {
  check(got.length === want.length, `${got.length} values, not ${want.length}`);
  let most = 0;
  got.forEach((value, i) => {
    const unit = units.length ? units[i % units.length] : Math.max(1, Math.abs(want[i]));
    const distance = Math.abs(value - want[i]) / unit;
    most = distance <= most ? most : distance;  // NaN stays
  });
  return most;
}

const tensor = (type, values, shape) =>
  new Tensor(type, type === 'float64' ? Float64Array.from(values) : Float32Array.from(values), shape);

// Windows first to first + count.
async function compare(session, wanted, first, count) {
  const {type, shape: [, steps, inputs], features, expected} = wanted;
  const part = (values, size) => values.slice(first * size, (first + count) * size);
  const feeds = {features: tensor(type, part(features, steps * inputs), [count, steps, inputs])};
  const results = await session.run(feeds);
  let most = 0;
  for (const [name, {shape, values, units}] of Object.entries(expected)) {
    const {dims, data} = results[name];
    check(String(dims) === String([count, ...shape]), `${name}: shape ${dims}`);
    const size = shape.reduce((product, n) => product * n, 1);
    const off = difference(data, part(values, size), units);
    check(off <= tolerance, `${name} of ${count} windows from ${first} are off by ${off}`);
    if (name !== 'logits') most = Math.max(most, off);
  }
  return most;
}

async function refusesAnotherLength(session, {type, shape: [, steps, inputs]}) {
  const shape = [1, steps + 1, inputs];
  try {
    await session.run({features: tensor(type, new Array((steps + 1) * inputs).fill(0), shape)});
  } catch {
    return true;
  }
  return false;
}

async function checkFile(name) {
  const wanted = JSON.parse(fs.readFileSync(path.join(directory, `${name}.json`)));
  const session = await InferenceSession.create(path.join(directory, `${name}.onnx`), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 4,
  });
  check(String(session.inputNames) === 'features', `inputs ${session.inputNames}`);
  check(String(session.outputNames) === String(Object.keys(wanted.expected)), `outputs ${session.outputNames}`);
  const [batch] = wanted.shape;
  check(batch === 17, `${batch} windows`);
  let most = await compare(session, wanted, 0, batch);
  for (const first of [0, batch - 1]) most = Math.max(most, await compare(session, wanted, first, 1));
  const refuses = await refusesAnotherLength(session, wanted);
  check(refuses !== name.includes('any_length'), `refuses another length: ${refuses}`);
  await session.release();
  return most;
}

const names = fs.readdirSync(directory).filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -5));
if (names.length === 0) {
  console.error(`no cases in ${directory}`);
  process.exit(1);
}
let most = 0, wrong = 0;
for (const name of names) {
  try {
    most = Math.max(most, await checkFile(name));
  } catch (error) {
    ++wrong;
    console.error(`${name}: ${error.message}`);
  }
}
if (wrong > 0) {
  console.error(`${wrong} of ${names.length} files are wrong`);
  process.exit(1);
}
console.log(`${names.length} files in ONNX Runtime ${env.versions.node}: predictions within ${most.toExponential(1)}`);

// Opens the page in a headless browser, takes, uploads and draws pictures, and holds the numbers against those of `rulegrad analyze`.
// Started by test.sh: node test.mjs URL RULEGRAD SCREENSHOT.png
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRequire } from "node:module";

const [url, rulegrad, screenshot] = process.argv.slice(2);
const puppeteer = createRequire(join(process.cwd(), "packages/"))("puppeteer-core");
const demo = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../demo");
const scratch = mkdtempSync(join(tmpdir(), "browser-"));
let failed = 0;

/** Contents of a .npy file of float32, float64 or int64 in C order. */
function readNpy(file) {
  const bytes = readFileSync(file);
  const length = bytes.readUInt16LE(8);
  const header = bytes.subarray(10, 10 + length).toString("latin1");
  const kind = { "<f4": Float32Array, "<f8": Float64Array, "<i8": BigInt64Array }[/'descr': '(...)'/.exec(header)[1]];
  return Array.from(new kind(new Uint8Array(bytes.subarray(10 + length)).buffer), Number);
}

function writeNpy(file, shape, values) {
  let header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  header = header.padEnd(64 * Math.ceil((11 + header.length) / 64) - 11) + "\n";
  const start = Buffer.alloc(10);
  start.write("\x93NUMPY\x01\x00", "latin1");
  start.writeUInt16LE(header.length, 8);
  writeFileSync(file, Buffer.concat([start, Buffer.from(header, "latin1"), Buffer.from(Float32Array.from(values).buffer)]));
}

function distance(found, expected) {
  const size = Math.max(...expected.map(Math.abs));
  return Math.max(...found.map((value, i) => Math.abs(value - expected[i]))) / (size || 1);
}

function check(what, value, bound) {
  const good = value <= bound;
  failed += !good;
  console.log(`${good ? "ok" : "FAILED"}: ${what}: ${value.toExponential(1)}`);
}

/** What the page shows against what the command gives for the same input and target. */
function compare(what, answer) {
  const input = join(scratch, "input.npy");
  writeNpy(input, [1, 1, 28, 28], answer.input);
  for (const [method, map] of Object.entries(answer.maps)) {
    const output = join(scratch, "map.npy");
    execFileSync(rulegrad, ["analyze", join(demo, "fashion.onnx"), "--input", input, "--method", method, "--target", String(answer.target), "--output", output]);
    check(`${what}, ${method}`, distance(map, readNpy(output)), 1e-5);
  }
}

const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 1040, height: 640 });
  page.on("pageerror", (error) => { ++failed; console.log(`FAILED: ${error}`); });
  /** The answer after `action` has changed the input. */
  const after = async (action) => {
    await page.evaluate(() => { window.answer = undefined; });
    await action();
    await page.waitForFunction(() => window.answer || window.failed, { timeout: 30000 });
    // Strokes come in many events; the last answer counts.
    let before, now = JSON.stringify(await page.evaluate(() => window.answer));
    do { before = now; await new Promise((done) => setTimeout(done, 200)); now = JSON.stringify(await page.evaluate(() => window.answer)); } while (now !== before);
    const problem = await page.evaluate(() => window.failed);
    if (problem) throw new Error(problem);
    return JSON.parse(now);
  };
  const first = await after(() => page.goto(url));
  compare("first picture", first);

  const upload = await page.$("#upload");
  const uploaded = await after(() => upload.uploadFile(join(demo, "pictures/sneaker_9.png")));
  compare("uploaded sneaker", uploaded);
  const input = join(scratch, "sneaker.npy");
  // The page must have read the picture as the command does.
  execFileSync(rulegrad, ["analyze", join(demo, "fashion.onnx"), "--input", join(demo, "pictures/sneaker_9.png"), "--preprocess", "unit", "--method", "input", "--output", input]);
  check("pixels of the uploaded picture", distance(uploaded.input, readNpy(input)), 1e-6);
  const shown = await page.$$eval("#scores tr", (rows) => rows.findIndex((row) => row.className === "chosen"));
  check("sneaker is the explained label", Math.abs(shown - 7), 0);
  await page.screenshot({ path: screenshot });

  compare("another label of it", await after(() => page.evaluate(() => document.querySelectorAll("#scores tr")[9].click())));

  const box = await (await page.$("#board")).boundingBox();
  const drawn = await after(async () => {
    await page.click("#clear");
    for (const x of [0.35, 0.65]) {
      await page.mouse.move(box.x + x * box.width, box.y + 0.1 * box.height);
      await page.mouse.down();
      await page.mouse.move(box.x + x * box.width, box.y + 0.9 * box.height, { steps: 8 });
      await page.mouse.up();
    }
  });
  check("something was drawn", drawn.input.filter((v) => v > 0.5).length > 60 ? 0 : 1, 0);
  compare("two strokes", drawn);
  console.log(`three methods in ${uploaded.milliseconds.toFixed(1)} ms`);
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);

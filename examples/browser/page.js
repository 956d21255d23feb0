// One session computes scores and attributions of `heat.onnx`; everything else here is drawing.
"use strict";

const extent = 28;
const board = document.getElementById("board");
const ink = board.getContext("2d", { willReadFrequently: true });
const say = document.getElementById("say");
let session, labels, methods, target = -1, running = false, again = false;

/** float32 [1, 1, 28, 28] in [0, 1], as the network has learned. */
function input() {
  const pixels = ink.getImageData(0, 0, extent, extent).data;
  return Float32Array.from({ length: extent * extent }, (_, i) => pixels[4 * i] / 255);
}

/** Blue below 0, white at 0, red above; the colours reach the 99th percentile of the sizes. */
function paint(canvas, map) {
  const sizes = Float32Array.from(map, Math.abs).sort();
  const limit = sizes[Math.floor(0.99 * (sizes.length - 1))] || sizes[sizes.length - 1] || 1;
  const picture = new ImageData(extent, extent);
  map.forEach((value, i) => {
    const part = Math.max(-1, Math.min(1, value / limit));
    const pale = Math.round(255 * (1 - Math.abs(part)));
    picture.data.set(part > 0 ? [255, pale, pale, 255] : [pale, pale, 255, 255], 4 * i);
  });
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function softmax(scores) {
  const top = Math.max(...scores);
  const powers = Array.from(scores, (s) => Math.exp(s - top));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((p) => p / sum);
}

function showScores(scores, chosen) {
  const table = document.getElementById("scores");
  table.replaceChildren(...softmax(scores).map((p, k) => {
    const row = document.createElement("tr");
    row.className = k === chosen ? "chosen" : "";
    row.innerHTML = `<td></td><td class="bar"><div style="width:${(100 * p).toFixed(1)}%"></div></td><td>${(100 * p).toFixed(1)} %</td>`;
    row.firstChild.textContent = labels[k];
    row.onclick = () => { target = k; explain(); };
    return row;
  }));
}

async function explain() {
  if (running) { again = true; return; }
  running = true;
  try {
    const x = input();
    const feed = (index) => ({ x: new ort.Tensor("float32", x, [1, 1, extent, extent]), target: new ort.Tensor("int64", [BigInt(index)], [1]) });
    const start = performance.now();
    let found = await session.run(feed(Math.max(target, 0)));
    const scores = found.scores.data;
    const chosen = target >= 0 ? target : scores.indexOf(Math.max(...scores));
    if (chosen !== Math.max(target, 0)) found = await session.run(feed(chosen));
    const milliseconds = performance.now() - start;
    showScores(scores, chosen);
    for (const method of methods) paint(document.getElementById(method), found[method].data);
    say.textContent = `${labels[chosen]} explained by ${methods.length} methods in ${milliseconds.toFixed(1)} ms; attributions add up to ` +
      methods.filter((m) => m !== "gradient").map((m) => `${found[m].data.reduce((a, b) => a + b).toFixed(3)} (${m})`).join(", ");
    // For those who compare numbers.
    window.answer = { input: Array.from(x), target: chosen, scores: Array.from(scores), milliseconds,
                      maps: Object.fromEntries(methods.map((m) => [m, Array.from(found[m].data)])) };
  } catch (error) {
    fail(error);
  }
  running = false;
  if (again) { again = false; explain(); }
}

function fail(error) {
  say.textContent = String(error.message ?? error);
  say.className = "error";
  window.failed = say.textContent;
}

/** A picture fills the board, its longer side from edge to edge. */
function take(image) {
  const scale = extent / Math.max(image.naturalWidth, image.naturalHeight);
  const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
  ink.filter = "grayscale(1)";
  ink.fillStyle = "#000";
  ink.fillRect(0, 0, extent, extent);
  ink.drawImage(image, (extent - width) / 2, (extent - height) / 2, width, height);
  ink.filter = "none";
  target = -1;
  explain();
}

function clear() {
  ink.fillStyle = "#000";
  ink.fillRect(0, 0, extent, extent);
  target = -1;
  explain();
}

let last = null;
function draw(event) {
  const place = [event.offsetX * extent / board.clientWidth, event.offsetY * extent / board.clientHeight];
  ink.strokeStyle = "#fff";
  ink.lineWidth = 3;
  ink.lineCap = "round";
  ink.beginPath();
  ink.moveTo(...(last ?? place));
  ink.lineTo(place[0] + 0.01, place[1]);
  ink.stroke();
  last = place;
  target = -1;
  explain();
}
board.onpointerdown = (event) => { board.setPointerCapture(event.pointerId); draw(event); };
board.onpointermove = (event) => { if (last) draw(event); };
board.onpointerup = () => { last = null; };
document.getElementById("clear").onclick = clear;
document.getElementById("upload").onchange = (event) => {
  const image = new Image();
  image.onload = () => { take(image); URL.revokeObjectURL(image.src); };
  image.onerror = () => fail(new Error(`${event.target.files[0].name} is no picture that this browser reads`));
  image.src = URL.createObjectURL(event.target.files[0]);
};

async function start() {
  ort.env.wasm.wasmPaths = new URL("ort/", location.href).href;
  ort.env.wasm.numThreads = 1;
  const about = await (await fetch("about.json")).json();
  labels = about.labels;
  session = await ort.InferenceSession.create("heat.onnx");
  methods = session.outputNames.filter((name) => name !== "scores");
  document.getElementById("maps").replaceChildren(...methods.map((method) => {
    const figure = document.createElement("figure");
    figure.innerHTML = `<canvas width="${extent}" height="${extent}"></canvas><figcaption></figcaption>`;
    figure.firstChild.id = method;
    figure.lastChild.textContent = method;
    return figure;
  }));
  const images = about.pictures.map((name) => {
    const image = new Image();
    image.src = `pictures/${name}`;
    image.title = name;
    image.onclick = () => take(image);
    return image;
  });
  document.getElementById("samples").replaceChildren(...images);
  await images[0].decode();
  take(images[0]);
}
start().catch(fail);

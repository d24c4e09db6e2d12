"use strict";
// Data arrive as JSON and are shown as text, never as markup.
const find = (id) => document.getElementById(id);
const read = (id) => JSON.parse(find(id).textContent);
const gallery = read("gallery");
const onDark = read("on-dark");
const dark = matchMedia("(prefers-color-scheme: dark)");
const MOST = 12; // queries that a filter shows
let figures = themed();

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

// Figures.

/** The figures, in the colours of the page. */
function themed() {
  const plain = find("figures").textContent;
  return JSON.parse(dark.matches ? plain.replace(/"(#[0-9a-f]{6})"/g, (all, colour) => `"${onDark[colour] ?? colour}"`) : plain);
}

/** Plotly's source: the page holds it packed, at a third of its size. */
async function unpacked() {
  const bytes = Uint8Array.from(atob(find("plotly").textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function draw() {
  figures = themed();
  for (const [id, figure] of Object.entries(figures)) {
    Plotly.react(id, figure.data, figure.layout, { responsive: true, displayModeBar: false });
    writeLegend(id, figure.data);
  }
  if (!gallery) return;
  write();
  standOut();
}

const SHAPES = {
  circle: "M4.5 0A4.5 4.5 0 1 1-4.5 0 4.5 4.5 0 1 1 4.5 0z", square: "M-4-4H4V4H-4z", diamond: "M0-5.5 5.5 0 0 5.5-5.5 0z",
  cross: "M-1.7-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7z", "triangle-up": "M0-5 5 4H-5z", "x-thin": "M-4-4 4 4M4-4-4 4",
  line: "M-11 0H11", bar: "M-9-5H9V5H-9z",
};

/** A legend as text of the page, which wraps; that of the map lets one colour stand out. */
function writeLegend(id, traces) {
  const holder = find(id);
  find(`${id}-legend`)?.remove();
  const named = traces.filter((trace) => trace.name);
  if (named.length < 2 || holder.classList.contains("small")) return;
  const items = named.map((trace, i) => {
    const label = [swatch(trace), trace.name];
    if (id !== "map") return element("li", {}, ...label);
    const button = element("button", { type: "button", ariaPressed: "false" }, ...label);
    button.addEventListener("click", () => single(button, i));
    return element("li", {}, button);
  });
  holder.before(element("ul", { className: "legend", id: `${id}-legend` }, ...items));
}

function swatch({ type, mode, line, marker }) {
  const isLine = type === "scatter" && mode.includes("lines");
  const shape = type === "bar" ? "bar" : isLine ? "line" : marker.symbol ?? "circle";
  const colour = isLine ? line.color : marker.color ?? line.color;
  const stroked = ["line", "x-thin"].includes(shape);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const dashed = isLine && line.dash === "dot" ? { "stroke-dasharray": "2 3" } : {};
  const look = { d: SHAPES[shape], fill: stroked ? "none" : colour, stroke: stroked ? colour : "none", "stroke-width": 2, ...dashed };
  for (const [name, value] of Object.entries(look)) path.setAttribute(name, value);
  svg.setAttribute("viewBox", "-11 -6 22 12");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

function single(button, i) {
  const pressed = button.ariaPressed !== "true";
  for (const other of find("map-legend").querySelectorAll("button")) other.ariaPressed = "false";
  button.ariaPressed = String(pressed);
  Plotly.restyle("map", { opacity: figures.map.data.map((_, j) => (!pressed || i === j ? 1 : 0.1)) });
}

// The gallery.

const captionOf = (row) => gallery.captions[row];
const queryOf = (row) => (gallery.queries ?? gallery.captions)[row];

/** The part of the sheet that is an item's picture, by shares of its size. */
function place(thumb, row) {
  const { columns } = gallery;
  const rows = Math.ceil(gallery.captions.length / columns);
  const share = (i, n) => (n > 1 ? (100 * i) / (n - 1) : 0);
  thumb.style.backgroundPosition = `${share(row % columns, columns)}% ${share(Math.floor(row / columns), rows)}%`;
  return thumb;
}

const thumb = (row) => place(element("i", { className: "thumb", role: "img", ariaLabel: captionOf(row) }), row);

function hit([row, score, right]) {
  const what = gallery.columns ? thumb(row) : element("b", { textContent: captionOf(row) });
  return element("div", { className: `hit${right ? " right" : ""}`, title: captionOf(row) }, what, element("span", { textContent: score }));
}

function result(row) {
  const own = gallery.columns && !gallery.byText ? [thumb(row)] : [];
  const caption = element("figcaption", {}, ...own, element("span", { textContent: queryOf(row) }));
  return element("figure", {}, caption, element("div", { className: "hits" }, ...gallery.hits[row].map(hit)));
}

/** The rows with all words of the filter in their query or caption; null without a filter. */
function filtered() {
  const words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return null;
  const text = (row) => `${queryOf(row)} ${captionOf(row)}`.toLowerCase();
  return [...gallery.captions.keys()].filter((row) => words.every((word) => text(row).includes(word)));
}

function list() {
  const rows = filtered();
  const n = gallery.captions.length;
  document.querySelector(".queries").replaceChildren(...(rows ?? gallery.chosen).slice(0, MOST).map(result));
  const more = rows?.length > MOST ? `, the first ${MOST} are shown` : "";
  find("count").textContent = rows ? `${rows.length || "None"} of ${n}${more}.` : `${gallery.chosen.length} of ${n}, at random.`;
}

/** On the map, what the filter leaves fades. */
function standOut() {
  if (!window.Plotly) return; // it is unpacked still
  const rows = filtered();
  const kept = rows && new Set(rows);
  const chosen = figures.map.data.map(({ customdata }) => kept && [...customdata.keys()].filter((i) => kept.has(customdata[i])));
  Plotly.restyle("map", { selectedpoints: chosen });
}

/** Of a map of words, the words that cover no more frequent one are written where their marks would be. */
function write() {
  const map = find("map");
  const [{ mode, x, y }] = figures.map.data;
  if (mode !== "markers+text") return;
  const inPixels = (values, room) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return values.map((value) => (room * (value - low)) / (high - low || 1));
  };
  const [left, top] = [inPixels(x, 0.9 * map.clientWidth - 24), inPixels(y, 0.9 * map.clientHeight - 16)]; // less Plotly's margins
  const written = [];
  const isFree = (a) => written.every((b) => Math.abs(top[a] - top[b]) > 14
    || Math.abs(left[a] - left[b]) > 3.6 * (captionOf(a).length + captionOf(b).length + 2));
  for (const row of x.keys()) if (isFree(row)) written.push(row);
  const shown = new Set(written);
  // An empty text's element would be removed, and those behind it, when drawn anew, be taken for others.
  const text = x.map((_, row) => (shown.has(row) ? captionOf(row) : "\u00a0"));
  Plotly.restyle(map, { text: [text], "marker.opacity": [x.map((_, row) => (shown.has(row) ? 0 : 0.35))] });
}

function point(event) {
  const card = find("card");
  const row = event.points[0].customdata;
  const image = card.querySelector(".thumb");
  if (image) place(image, row);
  card.querySelector("p").textContent = captionOf(row);
  card.hidden = false;
  const x = Math.min(event.event.clientX + 16, window.innerWidth - card.offsetWidth - 8);
  const y = Math.min(event.event.clientY + 16, window.innerHeight - card.offsetHeight - 8);
  card.style.left = `${Math.max(8, x)}px`;
  card.style.top = `${Math.max(8, y)}px`;
}

async function begin() {
  if (gallery) {
    list();
    find("search").addEventListener("input", () => { list(); standOut(); });
  }
  if (!window.DecompressionStream) {
    for (const chart of document.querySelectorAll(".chart")) chart.textContent = "Figures need a browser of 2023 or later.";
    return;
  }
  document.head.append(element("script", { textContent: await unpacked() }));
  draw();
  dark.addEventListener("change", draw);
  if (!gallery) return;
  const map = find("map");
  map.on("plotly_hover", point);
  map.on("plotly_click", point);
  map.on("plotly_unhover", () => { find("card").hidden = true; });
  new ResizeObserver(write).observe(map);
}

begin();

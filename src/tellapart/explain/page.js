"use strict";

// The arithmetic: a query, its positive keys[0] and K negatives keys[1…K], as angles in degrees on the unit circle.
const vector = (degrees) => [Math.cos(degrees * Math.PI / 180), Math.sin(degrees * Math.PI / 180)];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
const sum = (values) => values.reduce((total, value) => total + value, 0);
const logSumExp = (values) => {
  const top = Math.max(...values);
  return top + Math.log(sum(values.map((value) => Math.exp(value - top))));
};

function evaluate({ query, keys, temperature }) {
  const q = vector(query);
  const scores = keys.map((key) => dot(q, vector(key)));
  const logits = scores.map((score) => score / temperature);
  const logZ = logSumExp(logits);
  const shares = logits.map((logit) => Math.exp(logit - logZ));
  // The cosine's gradient at the unit query: the part of a key orthogonal to the query.
  const slopes = keys.map((key, j) => vector(key).map((x, axis) => (x - scores[j] * q[axis]) / temperature));
  const pull = slopes[0];
  const push = [0, 1].map((axis) => sum(shares.map((share, j) => share * slopes[j][axis])));
  const gradient = [push[0] - pull[0], push[1] - pull[1]];
  const negatives = logits.slice(1);
  const logNegatives = logSumExp(negatives);
  const weights = negatives.map((logit) => Math.exp(logit - logNegatives));
  const loss = logZ - logits[0];
  const margin = temperature * logNegatives;
  const ceiling = Math.log(keys.length);
  return {
    scores, logits, shares, pull, push, gradient, loss, margin, ceiling,
    turn: dot(gradient, vector(query + 90)),
    stretch: dot(gradient, q),
    stretchOfDot: (sum(shares.map((share, j) => share * scores[j])) - scores[0]) / temperature,
    hinge: Math.max(0, margin - scores[0]) / temperature,
    effectiveNegatives: Math.exp(logNegatives - sum(weights.map((weight, j) => weight * negatives[j]))),
    hardestShare: Math.max(...weights),
    bound: ceiling - loss,
  };
}
window.infoNce = { evaluate };

// The points on the screen. All angles are whole degrees; hidden negatives keep theirs.
const find = (id) => document.getElementById(id);
const set = (element, attributes) => {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const make = (name, attributes, parent) => {
  const element = set(document.createElementNS("http://www.w3.org/2000/svg", name), attributes);
  parent?.append(element);
  return element;
};
const MOST = Number(find("size").max);
const spread = Array.from({ length: MOST }, (_, j) => Math.round(150 + 250 * ((j * 0.618034) % 1)));
const TRIES = {
  even: { angles: [100, 62, ...spread], negatives: 7, temperature: 0.2 },
  hard: { angles: [100, 62, 122, ...spread.slice(1)], negatives: 7, temperature: 0.07 },
  cold: { temperature: 0.02 },
  hot: { temperature: 10 },
};
const state = structuredClone(TRIES.even);
const NAMES = ["query", "positive", ...spread.map((_, j) => `negative ${j + 1}`)];
const KINDS = NAMES.map((name) => name.split(" ")[0]);
const [NAME_WIDTH, NAME_HEIGHT] = [44, 13]; // of the names at the points
const at = (degrees, radius = 100) => vector(degrees).map((x, axis) => (axis ? -radius : radius) * x);

const text = (value, digits = 3) => {
  const shown = value.toFixed(Math.abs(value) >= 100 ? 1 : digits);
  return Number(shown) === 0 ? (0).toFixed(digits) : shown.replace("-", "−");
};
const percent = (share) => `${text(100 * share, 1)}\u00a0%`;

const points = NAMES.map((name, i) => {
  const spoken = { tabindex: 0, role: "slider", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 359 };
  const group = make("g", spoken, find("points"));
  make("circle", { class: "reach", r: 17 }, group);
  make("circle", { class: "ring", r: 13.5 }, group);
  make("use", { class: `shape ${KINDS[i]}`, href: `#${KINDS[i]}` }, group);
  if (i > 1) make("text", { y: 0.5 }, group).textContent = i - 1;
  group.addEventListener("pointerdown", (event) => group.setPointerCapture(event.pointerId));
  // Otherwise the finger scrolls the page: inside an SVG, Chromium ignores touch-action.
  group.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  group.addEventListener("pointermove", (event) => {
    if (group.hasPointerCapture(event.pointerId)) move(i, under(event));
  });
  group.addEventListener("keydown", (event) => {
    const step = steps(event.key, state.angles[i]);
    if (step === null) return;
    event.preventDefault();
    move(i, state.angles[i] + step);
  });
  return group;
});
const looks = NAMES.slice(1).map(() => make("line", {}, find("looks")));
const names = NAMES.slice(0, 2).map((name) => {
  const label = make("text", {}, find("names"));
  label.textContent = name;
  return label;
});
const rows = NAMES.slice(1).map((name, j) => {
  const row = find("shares").insertRow();
  row.innerHTML = '<th scope="row"></th><td></td><td><div class="bar"><div><div></div></div><span></span></div></td>';
  const mark = make("svg", { class: `mark ${KINDS[j + 1]}`, viewBox: "-10 -10 20 20", "aria-hidden": true });
  make("use", { href: `#${KINDS[j + 1]}` }, mark);
  row.cells[0].append(mark, name);
  return row;
});

/** The angle of the pointer around the centre of the circle. */
function under(event) {
  const { left, top, width, height } = find("circle").getBoundingClientRect();
  return Math.atan2(top + height / 2 - event.clientY, event.clientX - left - width / 2) * 180 / Math.PI;
}

/** The degrees by which a key of the keyboard moves a point: an arrow moves it along the circle in its direction. */
function steps(key, angle) {
  const towards = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key];
  if (towards) return Math.sign(Math.round(1e6 * dot(towards, vector(angle + 90))));
  return { PageUp: 15, PageDown: -15 }[key] ?? null;
}

function move(i, angle) {
  state.angles[i] = (Math.round(angle) + 360) % 360;
  show();
}

/** An arrow along the circle, from the query; its angle in radians is `force`. */
function arc(kind, force, radius) {
  const [query] = state.angles;
  const degrees = force * 180 / Math.PI;
  const tip = Math.min(8, Math.abs(force) * radius);
  const neck = query + degrees - Math.sign(force) * tip / radius * 180 / Math.PI;
  const [shaft, head] = document.querySelectorAll(`#arcs .${kind} path`);
  set(shaft, { d: `M${at(query, radius)}A${radius} ${radius} 0 0 ${force < 0 ? 1 : 0} ${at(neck, radius)}` });
  set(head, { d: `M${at(query + degrees, radius)}L${at(neck, radius - tip / 2)} ${at(neck, radius + tip / 2)}z` });
}

function show() {
  const { angles, negatives, temperature } = state;
  const found = evaluate({ query: angles[0], keys: angles.slice(1, negatives + 2), temperature });
  drawCircle(found);
  writeTable(found);
  writeNumbers(found);
  writeVerdict(found);
}

function drawCircle({ scores, shares, pull, push, turn, loss }) {
  const { angles, negatives, temperature } = state;
  const query = at(angles[0]);
  points.forEach((group, i) => {
    group.style.display = i < negatives + 2 ? "" : "none";
    const [score, share] = [scores[i - 1] ?? 0, shares[i - 1] ?? 0];
    const found = i ? `score ${text(score)}, share ${percent(share)}` : `loss ${text(loss)} nats`;
    set(group, { transform: `translate(${at(angles[i])})`, "aria-valuenow": angles[i] });
    set(group, { "aria-valuetext": `${angles[i]}°, ${found}` });
  });
  looks.forEach((line, j) => {
    const [x2, y2] = at(angles[j + 1]);
    set(line, { x1: query[0], y1: query[1], x2, y2, "stroke-width": 12 * (shares[j] ?? 0) });
  });
  // Inside the circle, clear of the point; two names that would meet are moved apart, one up and one down.
  const places = names.map((_, i) => at(angles[i], 82 - 24 * Math.abs(vector(angles[i])[0])));
  const [[x0, y0], [x1, y1]] = places;
  const apart = Math.abs(x0 - x1) < NAME_WIDTH ? Math.max(0, NAME_HEIGHT - Math.abs(y0 - y1)) / 2 : 0;
  names.forEach((label, i) => set(label, { x: places[i][0], y: places[i][1] + ((i === 0) === (y0 < y1) ? -apart : apart) }));
  const across = vector(angles[0] + 90);
  arc("pull", temperature * dot(pull, across), 113);
  arc("push", -temperature * dot(push, across), 121);
  arc("turn", -temperature * turn, 130);
}

function writeTable({ scores, shares }) {
  rows.forEach((row, j) => {
    row.hidden = j > state.negatives;
    if (row.hidden) return;
    row.cells[1].textContent = text(scores[j]);
    row.querySelector(".bar div div").style.width = `${100 * shares[j]}%`;
    row.querySelector("span").textContent = percent(shares[j]);
  });
}

function writeNumbers({ loss, ceiling, bound, pull, push, turn, stretch, stretchOfDot, margin, hinge, scores, ...found }) {
  const { negatives, temperature } = state;
  const numbers = {
    loss, ceiling, bound, stretch, margin, hinge, "in-circle": loss, blind: ceiling, "positive-score": scores[0],
    pull: Math.hypot(...pull), push: Math.hypot(...push), turn: Math.abs(turn), "stretch-of-dot": stretchOfDot,
  };
  for (const [id, value] of Object.entries(numbers)) find(id).textContent = text(value);
  find("effective").textContent = text(found.effectiveNegatives, 2);
  find("hardest").textContent = percent(found.hardestShare);
  find("tau").textContent = temperature;
  set(find("temperature"), { "aria-valuetext": temperature }).value = Math.log10(temperature);
  find("size").value = find("count").textContent = find("all").textContent = negatives;
}

let pause;
function writeVerdict({ shares, loss }) {
  const [positive, most] = [shares[0], Math.max(...shares.slice(1))];
  const hardest = NAMES[shares.indexOf(most, 1) + 1];
  let verdict = `The query picks its positive (${percent(positive)}).`;
  if (most > positive) verdict = `The query picks ${hardest} (${percent(most)}), not its positive (${percent(positive)}).`;
  if (Math.abs(most - positive) < 1e-9) verdict = `The query cannot tell ${hardest} from its positive: ${percent(positive)} each.`;
  find("verdict").textContent = verdict;
  clearTimeout(pause); // a screen reader announces only the end of a movement
  pause = setTimeout(() => { find("said").textContent = `${verdict} Loss ${text(loss)} nats.`; }, 500);
}

find("temperature").addEventListener("input", (event) => {
  state.temperature = Number((10 ** event.target.value).toPrecision(2)); // computed with the value that is shown
  show();
});
find("size").addEventListener("input", (event) => {
  state.negatives = Number(event.target.value);
  show();
});
for (const button of document.querySelectorAll("[data-try]")) {
  button.addEventListener("click", () => {
    Object.assign(state, structuredClone(TRIES[button.dataset.try]));
    show();
  });
}
show();

// The curves that the library measured: lines with marks, points, or plain lines for theory.
const HEIGHT = 260;
const EDGE = { left: 50, right: 14, top: 14, bottom: 42 };
const brief = (value, digits = 3) =>
  Number(value.toPrecision(digits)).toLocaleString("en", { maximumSignificantDigits: 6 }).replace("-", "−");

/** An axis: the round values of its ticks, its ends, and its scale. */
function axis(values, log) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (log) {
    const few = [...new Set(values)];
    const decades = Array.from({ length: 13 }, (_, i) => 10 ** (i - 4)).filter((tick) => low <= tick && tick <= high);
    return { low: low / 1.1, high: high * 1.1, ticks: few.length > 8 ? decades : few, measure: Math.log };
  }
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  return { low: first * step, high: last * step, ticks, measure: Number };
}

/** Of ticks in their order, those with labels that do not meet the label before. */
function roomy(ticks, place) {
  let free = -Infinity;
  return ticks.filter((tick) => {
    const half = 3.6 * brief(tick, 6).length + 3;
    if (place(tick) - half < free) return false;
    free = place(tick) + half;
    return true;
  });
}

function drawChart(holder, curve) {
  const width = holder.clientWidth;
  const [right, bottom] = [width - EDGE.right, HEIGHT - EDGE.bottom];
  const [x, y] = ["x", "y"].map((name) => axis(curve.lines.flatMap((line) => line[name]), name === "x" && curve.log_x));
  const to = ({ low, high, measure }, from, end) => (value) =>
    from + (end - from) * (measure(value) - measure(low)) / (measure(high) - measure(low));
  const [toX, toY] = [to(x, EDGE.left, right), to(y, bottom, EDGE.top)];
  const spoken = `${curve.title}: ${curve.y} against ${curve.x}`;
  const svg = make("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": spoken });
  const write = (content, attributes) => { make("text", attributes, svg).textContent = content; };
  for (const tick of y.ticks) {
    make("path", { class: "grid", d: `M${EDGE.left} ${toY(tick)}H${right}` }, svg);
    write(brief(tick, 6), { x: EDGE.left - 8, y: toY(tick), "text-anchor": "end", "dominant-baseline": "central" });
  }
  for (const tick of roomy(x.ticks, toX)) write(brief(tick, 6), { x: toX(tick), y: bottom + 18, "text-anchor": "middle" });
  write(curve.x, { class: "axis", x: (EDGE.left + right) / 2, y: HEIGHT - 6, "text-anchor": "middle" });
  const places = curve.lines.flatMap((line, i) => {
    const group = make("g", { class: `${line.kind} colour-${i}` }, svg);
    const spots = line.x.map((value, j) => ({ line, j, left: toX(value), top: toY(line.y[j]) }));
    const path = `M${spots.map((spot) => `${spot.left} ${spot.top}`).join("L")}`;
    if (line.kind !== "points") make("path", { class: "line", d: path }, group);
    for (const { j, left, top } of line.kind === "theory" ? [] : spots) {
      const bar = [-1, 1].map((sign) => toY(line.y[j] + sign * (line.error?.[j] ?? 0)));
      make("path", { class: "error", d: `M${left} ${bar[0]}V${bar[1]}` }, group);
      make("use", { href: `#mark-${i}`, x: left, y: top }, group);
    }
    return spots;
  });
  readOut(svg, places, width);
  holder.replaceChildren(svg);
}

/** Shows the values of the point nearest to the pointer. */
function readOut(svg, places, width) {
  const ring = make("circle", { class: "ring" }, svg);
  const note = make("text", { class: "values" }, svg);
  const words = [0, 1].map(() => make("tspan", {}, note));
  svg.addEventListener("pointermove", ({ offsetX, offsetY }) => {
    const far = ({ left, top }) => Math.hypot(left - offsetX, top - offsetY);
    const { line, j, left, top } = places.reduce((best, place) => (far(place) < far(best) ? place : best));
    const error = line.error?.[j] ? ` ± ${brief(line.error[j], 2)}` : "";
    words[0].textContent = line.label;
    words[1].textContent = ` at ${brief(line.x[j], 4)}: ${brief(line.y[j])}${error}`;
    const half = Math.max(...words.map((word) => word.getComputedTextLength())) / 2;
    const x = Math.min(Math.max(left, half), width - half);
    const y = top < 38 ? top + 22 : top - 26;
    words.forEach((word, k) => set(word, { x, y: y + 14 * k }));
    set(ring, { r: 8, cx: left, cy: top });
  });
}

const curves = JSON.parse(find("curves").textContent);
for (const holder of document.querySelectorAll(".chart")) {
  new ResizeObserver(() => drawChart(holder, curves[holder.dataset.curve])).observe(holder);
}

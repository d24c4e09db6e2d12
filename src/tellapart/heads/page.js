"use strict";

const find = (id) => document.getElementById(id);
const { tokens, targets, layers, heads } = JSON.parse(find("data").textContent);
const n = tokens.length;
const cells = [...document.querySelectorAll("#grid button")];
const marks = [...document.querySelectorAll("#tokens button")];
const LEVELS = 255;

// A share has a visible colour from some percent on: levels are square roots.
const shade = (element, share) => {
  const level = Math.sqrt(Math.max(0, share ?? 0));
  element.style.setProperty("--level", level.toFixed(3));
  element.classList.toggle("dark", level > 0.6);
};
const percent = (share) => (share == null ? "–" : share < 0.005 && share > 0 ? "< 1 %" : `${Math.round(100 * share)} %`);
const nats = (value) => (value == null ? "–" : value.toFixed(2).replace("-", "−"));
const visible = (token) => token.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ /, "␣");
const rows = (body, entries) => body.replaceChildren(...entries.map(([name, ...values]) => {
  const row = document.createElement("tr");
  const head = Object.assign(document.createElement("th"), { scope: "row", textContent: name });
  row.append(head, ...values.map((value) => Object.assign(document.createElement("td"), { textContent: value })));
  return row;
}));
const bytes = (head) => Uint8Array.from(atob(head.shares), (letter) => letter.charCodeAt(0));

let chosen = 0;
let query = n - 1;
let shares = bytes(heads[0]);

function colour() {
  const measure = document.querySelector("[name=measure]:checked").value;
  heads.forEach((head, i) => {
    const value = measure === "evenness" ? head.evenness : head.masses[measure];
    shade(cells[i], value);
    cells[i].textContent = value == null ? "–" : value.toFixed(2).replace(/^0/, "");
    const warned = head.warning && `, ${head.warning}`;
    cells[i].setAttribute("aria-label", `Layer ${head.layer}, head ${head.number}: ${value == null ? "unknown" : value.toFixed(2)}${warned}`);
  });
}

function drawMatrix() {
  const context = find("matrix").getContext("2d");
  const picture = context.createImageData(n, n);
  const colours = getComputedStyle(document.documentElement).getPropertyValue("--shade").split(",").map(Number);
  shares.forEach((share, i) => {
    picture.data.set([...colours, 255 * Math.sqrt(share / LEVELS)], 4 * i);
  });
  context.putImageData(picture, 0, 0);
}

function showHead(number) {
  chosen = number;
  const head = heads[number];
  shares = bytes(head);
  cells.forEach((cell, i) => cell.setAttribute("aria-pressed", i === number));
  find("one").textContent = `Layer ${head.layer}, head ${head.number}`;
  find("one").title = layers[head.layer];
  find("warning").textContent = {
    saturated: "Saturated: one key has all the weight, and hardly a gradient comes back.",
    uniform: "Uniform: all keys have the same weight, whatever the query.",
  }[head.warning] ?? "";
  rows(find("energies"), [
    ["mean energy U", nats(head.energy)],
    ["entropy H", nats(head.entropy)],
    ["free energy F = U − H", nats(head.free_energy)],
    ["effective keys", nats(head.effective_keys)],
  ]);
  rows(find("targets"), targets.filter(([name]) => name in head.masses).map(([name, what]) => [
    what, percent(head.masses[name]), nats(head.losses[name]), nats(head.blind[name]),
  ]));
  drawMatrix();
  showToken(query);
}

function showToken(place) {
  query = place;
  const row = [...shares.subarray(n * place, n * (place + 1))].map((share) => share / LEVELS);
  marks.forEach((mark, j) => {
    shade(mark, row[j]);
    mark.title = percent(row[j]);
    mark.setAttribute("aria-pressed", j === place);
  });
  find("said").textContent = `Token ${place + 1}, “${visible(tokens[place])}”, reads:`;
  const best = row.map((share, j) => [share, j]).sort((a, b) => b[0] - a[0]).filter(([share]) => share > 0).slice(0, 5);
  rows(find("best"), best.map(([share, j]) => [`${j + 1} ${visible(tokens[j])}`, percent(share)]));
}

marks.forEach((mark, j) => {
  mark.textContent = visible(tokens[j]);
  mark.addEventListener("click", () => showToken(j));
});
cells.forEach((cell, i) => cell.addEventListener("click", () => showHead(i)));
find("measures").addEventListener("change", colour);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMatrix);
colour();
showHead(0);

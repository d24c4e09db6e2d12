"use strict";
// Data arrive as JSON and are shown as text, never as markup.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const figures = read("figures");
const hover = read("hover");

for (const [id, figure] of Object.entries(figures)) {
  Plotly.newPlot(id, figure.data, figure.layout, { responsive: true, displayModeBar: false });
}

const card = document.getElementById("card");
const map = document.getElementById("map");

function show(event) {
  const item = hover[event.points[0].customdata];
  const image = card.querySelector("img");
  image.hidden = !item.image;
  if (item.image) image.src = item.image;
  card.querySelector("p").textContent = item.text;
  card.hidden = false;
  const x = Math.min(event.event.clientX + 16, window.innerWidth - card.offsetWidth - 8);
  const y = Math.min(event.event.clientY + 16, window.innerHeight - card.offsetHeight - 8);
  card.style.left = `${Math.max(8, x)}px`;
  card.style.top = `${Math.max(8, y)}px`;
}

if (map) {
  map.on("plotly_hover", show);
  map.on("plotly_click", show);
  map.on("plotly_unhover", () => { card.hidden = true; });
}

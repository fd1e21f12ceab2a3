"use strict";

const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const data = element => JSON.parse(element.querySelector("script").textContent);

// Tables: sorted by a click on a column's name, filtered by words.
const valueOf = cell => cell.dataset.value ?? cell.textContent;
const isNumber = text => text !== "" && !Number.isNaN(Number(text));
const compare = (a, b) => { // numbers first, as of `null, 0.001, 1e-05`
  if (isNumber(a) && isNumber(b)) return a - b;
  return isNumber(b) - isNumber(a) || String(a).localeCompare(b, "en", { numeric: true });
};
const marked = new Map(); // by the id of a table: the rows that parallel coordinates let through

function filter(box) {
  const words = box.querySelector("input").value.toLowerCase().split(/\s+/);
  const rows = [...box.querySelectorAll("tbody tr")];
  for (const row of rows) {
    const text = [...row.cells].map(cell => cell.textContent).join(" ").toLowerCase();
    row.hidden = !words.every(word => text.includes(word)) || marked.get(box.id)?.has(+row.dataset.row) === false;
  }
  box.querySelector("output").textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} rows`;
}

function sort(header) {
  const rising = header.ariaSort !== "ascending", column = header.cellIndex;
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.ariaSort = rising ? "ascending" : "descending";
  const body = header.closest("table").tBodies[0], rows = [...body.rows];
  const values = new Map(rows.map(row => [row, valueOf(row.cells[column])]));
  const full = rows.filter(row => values.get(row) !== ""), empty = rows.filter(row => values.get(row) === "");
  full.sort((a, b) => (rising ? 1 : -1) * compare(values.get(a), values.get(b)));
  body.append(...full, ...empty); // what has no value comes last either way
}

for (const box of document.querySelectorAll(".table")) {
  box.querySelector("input").addEventListener("input", () => filter(box));
  for (const header of box.querySelectorAll("th")) {
    header.firstElementChild.addEventListener("click", () => sort(header));
  }
}

// Parallel coordinates, in SVG: Plotly's need WebGL and `eval`, which the page's policy forbids.
const SVG = "http://www.w3.org/2000/svg";
const draw = (parent, name, attributes) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
};
const round = value => Number(value.toPrecision(4)).toString();
const brief = text => (text.length > 18 ? `…${text.slice(-17)}` : text);

function scale(values, top, bottom, few) { // up to so many numbers are levels of a grid, which stand equally far apart
  const place = share => bottom - share * (bottom - top);
  const numeric = values.every(value => typeof value === "number");
  if (numeric && new Set(values).size > few) {
    const low = Math.min(...values), high = Math.max(...values), log = low > 0 && high >= 10 * low;
    const on = log ? Math.log : value => value;
    const at = value => place(high > low ? (on(value) - on(low)) / (on(high) - on(low)) : 0.5);
    const back = share => (log ? low * (high / low) ** share : low + share * (high - low));
    const ticks = high > low ? [0, 0.25, 0.5, 0.75, 1].map(back) : [low];
    return { at, ticks: ticks.map(value => [at(value), round(value)]) };
  }
  const names = [...new Set(values)].sort(compare), at = value => place((names.indexOf(value) + 0.5) / names.length);
  const every = Math.ceil(names.length / 20);
  return { at, ticks: names.filter((_, place) => place % every === 0).map(name => [at(name), brief(String(name))]) };
}

function parallel(box) {
  const { axes, table } = data(box);
  const height = 360, top = 44, bottom = 340, gap = Math.max(130, 1000 / axes.length), width = gap * axes.length;
  const svg = draw(box, "svg", { viewBox: `0 0 ${width} ${height}`, style: `min-width: ${100 * axes.length}px`, role: "img" });
  svg.setAttribute("aria-label", `Parallel coordinates of ${axes.map(axis => axis.name).join(", ")}`);
  const scales = axes.map((axis, place) => scale(axis.values, top, bottom, place + 1 < axes.length ? 12 : 0)), x = place => gap * (place + 0.5);
  const count = axes[0].values.length, score = axes.at(-1);
  const paths = Array.from({ length: count }, (_, row) => {
    const points = axes.map((axis, place) => `${x(place)},${scales[place].at(axis.values[row])}`);
    return draw(svg, "path", { d: `M${points.join("L")}` });
  });
  const paint = () => {
    for (const [row, path] of paths.entries()) { // from grey to the accent: the rows are in the order of their score
      const share = count > 1 ? Math.round(100 * (1 - row / (count - 1))) : 100;
      path.style.stroke = path.classList.contains("out") ? "" : `color-mix(in srgb, var(--accent) ${share}%, var(--grey))`;
    }
  };
  const spans = axes.map(() => null);
  const mark = () => {
    const inside = new Set();
    for (const [row, path] of paths.entries()) {
      const is = axes.every((axis, place) => {
        const at = scales[place].at(axis.values[row]), span = spans[place];
        return span === null || (at >= span[0] && at <= span[1]);
      });
      path.classList.toggle("out", !is);
      if (is) inside.add(row);
    }
    paint();
    spans.every(span => span === null) ? marked.delete(table) : marked.set(table, inside);
    const other = document.getElementById(table);
    if (other) filter(other);
  };
  for (const [row, path] of paths.entries()) {
    draw(path, "title", {}).textContent = axes.map(axis => `${axis.name}: ${axis.values[row]}`).join("\n");
  }
  for (const [place, axis] of axes.entries()) {
    draw(svg, "line", { class: "axis", x1: x(place), x2: x(place), y1: top, y2: bottom });
    draw(svg, "text", { x: x(place), y: 20, "text-anchor": "middle", "font-weight": 600 }).textContent = brief(axis.name);
    for (const [at, text] of scales[place].ticks) {
      draw(svg, "text", { x: x(place) + 6, y: at + 4 }).textContent = text;
    }
    const brush = draw(svg, "rect", { class: "brush", x: x(place) - 8, width: 16, y: 0, height: 0 });
    const grip = draw(svg, "rect", { class: "grip", x: x(place) - 22, width: 44, y: top - 8, height: bottom - top + 16 });
    let start = null;
    const at = event => Math.min(bottom + 8, Math.max(top - 8, new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).y));
    const span = event => {
      const ends = [start, at(event)].sort((a, b) => a - b);
      spans[place] = ends[1] - ends[0] < 3 ? null : ends; // a click takes the mark away
      brush.setAttribute("y", ends[0]);
      brush.setAttribute("height", spans[place] === null ? 0 : ends[1] - ends[0]);
      mark();
    };
    grip.addEventListener("pointerdown", event => { grip.setPointerCapture(event.pointerId); start = at(event); span(event); });
    grip.addEventListener("pointermove", event => { if (start !== null) span(event); });
    for (const end of ["pointerup", "pointercancel"]) grip.addEventListener(end, () => { start = null; });
  }
  paint();
}
document.querySelectorAll(".parallel").forEach(parallel);

// Curves, by Plotly.
async function loadPlotly() {
  const text = atob(document.getElementById("plotly").textContent), bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place++) bytes[place] = text.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  document.head.append(make("script", { textContent: await new Response(stream).text() }));
}

const plain = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); // Plotly reads some HTML
const faint = (hex, share) => hex + Math.round(255 * share).toString(16).padStart(2, "0");

function traces(chart, names, coloured, hidden) {
  const found = [], rest = { x: [], y: [] };
  for (const line of chart.lines) {
    const place = names.indexOf(line.name);
    if (place >= coloured) {
      rest.x.push(...line.x, null);
      rest.y.push(...line.y, null);
      continue;
    }
    const stroke = colour(`c${place}`), visible = !hidden.has(line.name), band = line.low.length > 0;
    const edge = { x: line.x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", visible, showlegend: false };
    if (band) found.push({ ...edge, y: line.low }, { ...edge, y: line.high, fill: "tonexty", fillcolor: faint(stroke, 0.18) });
    found.push({
      x: line.x, y: line.y, name: plain(line.name), visible,
      mode: line.x.length > 1 ? "lines" : "markers", line: { color: stroke, width: 2 }, marker: { color: stroke },
      customdata: band ? line.low.map((low, at) => [low, line.high[at]]) : undefined,
      hovertemplate: band ? "%{y:.4g} (%{customdata[0]:.4g} to %{customdata[1]:.4g})" : "%{y:.4g}",
    });
  }
  if (rest.x.length && !hidden.has(null)) {
    found.unshift({ ...rest, mode: "lines", line: { color: colour("grey"), width: 0.8 }, hoverinfo: "skip", connectgaps: false });
  }
  return found;
}

function layout(chart, log, width) {
  const axis = { gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("line"), automargin: true };
  return {
    title: { text: plain(chart.title), x: 0, xref: "paper", font: { size: 14 } }, showlegend: false, hovermode: "x unified", width,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("text") },
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("line"), font: { color: colour("text"), size: 12 }, namelength: 60 },
    margin: { l: 50, r: 10, t: 40, b: 40 }, dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    xaxis: { ...axis, title: { text: "step" } }, yaxis: { ...axis, type: log ? "log" : "linear", exponentformat: "power" },
  };
}

function curves(box) {
  const { charts, coloured } = data(box);
  const names = [...new Set(charts.flatMap(chart => chart.lines.map(line => line.name)))];
  const hidden = new Set(), logs = charts.map(chart => chart.log);
  const plots = charts.map(() => make("div", { className: "plot" }));
  const show = place => Plotly.react(
    plots[place], traces(charts[place], names, coloured, hidden),
    layout(charts[place], logs[place], document.documentElement.classList.contains("print") ? 340 : undefined),
    { responsive: true, displayModeBar: false },
  );
  const key = (name, text, stroke) => {
    const swatch = make("i");
    swatch.style.setProperty("--key", `var(--${stroke})`);
    const button = make("button", { type: "button", ariaPressed: "true" }, swatch, text);
    button.addEventListener("click", () => {
      hidden.delete(name) || hidden.add(name);
      button.ariaPressed = String(!hidden.has(name));
      plots.forEach((_, place) => show(place));
    });
    return button;
  };
  const legend = make("div", { className: "legend", role: "group", ariaLabel: "Curves that are shown" });
  names.slice(0, coloured).forEach((name, place) => legend.append(key(name, name, `c${place}`)));
  if (names.length > coloured) legend.append(key(null, names.length - coloured === 1 ? "1 other" : `${names.length - coloured} others`, "grey"));
  const grid = make("div", { className: "charts" });
  for (const [place, plot] of plots.entries()) {
    const button = make("button", { type: "button", ariaPressed: String(logs[place]) }, "log scale");
    button.addEventListener("click", () => {
      logs[place] = !logs[place];
      button.ariaPressed = String(logs[place]);
      show(place);
    });
    grid.append(make("div", { className: "chart", role: "group", ariaLabel: charts[place].title }, button, plot));
  }
  box.append(legend, grid);
  return () => Promise.all(plots.map((_, place) => show(place)));
}

(async () => {
  const drawn = [...document.querySelectorAll(".curves")].map(curves), times = document.documentElement.dataset;
  times.readable = Math.round(performance.now()); // milliseconds since the page was opened; running Plotly's script takes a second
  const redraw = () => Promise.all(drawn.map(show => show()));
  if (drawn.length) {
    await new Promise(resolve => { setTimeout(resolve); }); // lets the browser paint the rest of the page first
    await loadPlotly();
    await redraw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    for (const [event, is] of [["beforeprint", true], ["afterprint", false]]) {
      addEventListener(event, () => { document.documentElement.classList.toggle("print", is); redraw(); });
    }
  }
  times.drawn = Math.round(performance.now());
})().catch(error => {
  document.querySelector(".curves").append(make("p", {}, `The curves cannot be drawn by this browser: ${error}`));
  throw error;
});

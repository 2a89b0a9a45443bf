// Charts of statistics: drawn when they come into view, with a table of the same numbers by button or the key t.
import { colours } from "./colours.js";
import { heightOf, numberText, optionOf, places, valueText } from "./chart_options.js";
import { ask } from "./page.js";
import { fill, gettext } from "./words.js";
import * as echarts from "./vendor/echarts-6.1.0/echarts.esm.min.mjs";

const PAPER = { ink: "#000", ink_2: "#000", ink_3: "#333", line: "#ccc", line_strong: "#555", surface: "#fff", accent: "#000", up: "#333", down: "#333", late: "#555", healthy: "#bbb", failed: "#000" };
const drawn = new Map();

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Keeps a drawing in step with size, theme and paper; `option` is called with the colours to use.
export function keep(place, option) {
  const instance = echarts.init(place, null, { renderer: "canvas" });
  drawn.set(instance, option);
  instance.setOption(option(colours()));
  new ResizeObserver(() => instance.resize()).observe(place);
  return instance;
}

function redraw(ink) {
  for (const [instance, option] of drawn) instance.setOption(option(ink), { notMerge: true });
}

const inView = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    inView.unobserve(target);
    keep(target, target.option);
  }
}, { rootMargin: "300px" });

export function drawAllForPaper() {
  for (const place of document.querySelectorAll(".plot:not([_echarts_instance_])")) if (place.option) { inView.unobserve(place); keep(place, place.option); }
  redraw(PAPER);
  // Else the library draws on the next frame, and paper has none.
  for (const instance of drawn.keys()) instance.getZr().refreshImmediately();
}

export function tableOf(chart) {
  const digits = places(chart.ends);
  const body = element("tbody"), hasNotes = chart.panels.some((panel) => panel.notes.length);
  const isCurve = chart.form === "curves";
  const heads = [gettext("Panel"), isCurve ? gettext("Curve") : "", isCurve ? gettext("Forecast") : null, ...(isCurve ? [gettext("Observed")] : chart.panels[0].series.map((one) => one.name)), hasNotes ? gettext("Note") : null];
  const row = (...cells) => body.append(element("tr", {}, ...cells.filter((cell) => cell !== null).map((cell, i) => element(i < 2 ? "th" : "td", { textContent: cell, className: i < 2 ? "" : "num", ...(i < 2 ? { scope: "row" } : {}) }))));
  for (const panel of chart.panels) {
    if (isCurve) for (const one of panel.series) one.values.forEach((value, i) => row(panel.title, one.name, numberText(one.at[i], 3), valueText(value, one.errors[i], 3, chart.unit)));
    else panel.categories.forEach((name, i) => row(panel.title, name, ...panel.series.map((one) => valueText(one.values[i], one.errors[i], digits, chart.unit)), hasNotes ? panel.notes[i] ?? "" : null));
  }
  const head = element("tr", {}, ...heads.filter((text) => text !== null).map((text, i) => element("th", { textContent: text, scope: "col", className: i < 2 ? "" : "num" })));
  return element("table", { className: "list" }, element("thead", {}, head), body);
}

function legendOf(chart) {
  const names = new Map();
  for (const panel of chart.panels) for (const one of panel.series) names.set(one.name, one);
  if (names.size < 2 || chart.form === "curves") return "";
  const entries = [...names.values()].map((one) => element("li", { className: `sample ${one.tone} ${one.shape}` }, element("i", { ariaHidden: "true" }), one.name));
  return element("ul", { className: "legend" }, ...entries);
}

// A figure with a button and the key t for the table; `fillTable` makes the table when it is first asked for.
export function framed(title, caption, content, fillTable) {
  const button = element("button", { type: "button", className: "quiet", textContent: gettext("Table"), title: gettext("Show the numbers as a table (t)"), ariaPressed: "false" });
  const table = element("div", { className: "scroll numbers", hidden: true, tabIndex: 0 });
  const figure = element("figure", { className: "statistic panel", tabIndex: 0, ariaLabel: title },
    element("figcaption", {}, element("h3", { textContent: title }), button), ...(caption ? [element("p", { className: "muted", textContent: caption })] : []), content, table);
  const turn = () => {
    if (!table.hasChildNodes()) table.append(fillTable());
    table.hidden = !table.hidden;
    content.hidden = !table.hidden;
    button.ariaPressed = String(!table.hidden);
    button.textContent = table.hidden ? gettext("Table") : gettext("Chart");
  };
  button.addEventListener("click", turn);
  figure.addEventListener("keydown", (event) => {
    if (event.key === "t" && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); turn(); }
  });
  return figure;
}

function panelOf(chart, panel) {
  const plot = element("div", { className: "plot", role: "img", ariaLabel: `${chart.title}, ${panel.title}` });
  plot.style.height = `${heightOf(chart, panel)}px`;
  plot.option = (ink) => optionOf(chart, panel, ink);
  inView.observe(plot);
  return element("div", { className: "small-multiple" }, element("h4", { textContent: panel.title }), plot);
}

function figureOf(chart) {
  if (!chart.panels.length) return element("section", { className: "statistic panel" }, element("h3", { textContent: chart.title }), element("p", { className: "muted", textContent: chart.missing }));
  const multiples = element("div", { className: "multiples" }, ...chart.panels.map((panel) => panelOf(chart, panel)));
  return framed(chart.title, chart.caption, element("div", {}, legendOf(chart), multiples), () => tableOf(chart));
}

async function load(place) {
  try {
    const answer = await ask(place.dataset.charts);
    if (!answer.ok) throw new Error(`${answer.status}`);
    const { charts } = await answer.json();
    const shown = place.dataset.first ? charts.slice(0, Number(place.dataset.first)) : charts;
    place.replaceChildren(...(shown.length ? shown.map(figureOf) : [element("p", { className: "muted", textContent: gettext("There is nothing to draw: this report holds no scores.") })]));
  } catch (error) {
    place.replaceChildren(element("p", { className: "muted failed", role: "alert", textContent: fill(gettext("The numbers could not be loaded ({why}). Reload the page to try again."), { why: error.message }) }));
  }
  place.ariaBusy = "false";
}

document.addEventListener("theme-changed", () => redraw(colours()));
addEventListener("beforeprint", drawAllForPaper);
addEventListener("afterprint", () => redraw(colours()));
for (const place of document.querySelectorAll("[data-charts]")) load(place);

// The market page: candles, the predicted ranges, and past predictions with their outcomes.
import { CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, LineStyle, createChart, createSeriesMarkers } from "./vendor/lightweight-charts-5.2.1/lightweight-charts.standalone.production.mjs";
import { colours, faded } from "./colours.js";
import { ForecastLayer } from "./forecast_layer.js";
import { follow } from "./live.js";
import { correctBy } from "./market_clock.js";
import { hintLocalTimes } from "./page.js";

const STEP = 300;
const GATHER_MS = 200;
const place = document.getElementById("chart");
const readout = document.getElementById("readout");
const { symbol, feed, panels } = place.dataset;

let paint = colours();
let horizon = Number(document.querySelector('input[name="horizon"]:checked')?.value ?? 6);
let candlesShown = Number(document.querySelector('.spans [aria-pressed="true"]')?.dataset.candles ?? 288);
const candles = new Map();
const past = new Map();
const signals = new Map();
let ahead = null;
let candlesDrawn = 0;

const chart = createChart(place, {
  autoSize: true,
  layout: { attributionLogo: true, fontFamily: "Inter, system-ui, sans-serif", fontSize: 12, background: { type: ColorType.Solid, color: "transparent" } },
  crosshair: { mode: CrosshairMode.Normal },
  timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 2, minBarSpacing: 0.3 },
  rightPriceScale: { scaleMargins: { top: 0.06, bottom: 0.16 } },
  localization: { priceFormatter: digits },
});
const candleSeries = chart.addSeries(CandlestickSeries, { priceLineStyle: LineStyle.Dotted });
const volumeSeries = chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.88, bottom: 0 } });
const markers = createSeriesMarkers(candleSeries, []);
const layer = new ForecastLayer();
candleSeries.attachPrimitive(layer);

function applyColours() {
  paint = colours();
  chart.applyOptions({
    layout: { textColor: paint.ink_2 },
    grid: { vertLines: { color: faded(paint.line, 0.5) }, horzLines: { color: faded(paint.line, 0.7) } },
    rightPriceScale: { borderColor: paint.line },
    timeScale: { borderColor: paint.line },
    crosshair: { vertLine: { color: paint.ink_3, labelBackgroundColor: paint.ink_2 }, horzLine: { color: paint.ink_3, labelBackgroundColor: paint.ink_2 } },
  });
  candleSeries.applyOptions({ upColor: paint.up, downColor: paint.down, borderVisible: false, wickUpColor: paint.up, wickDownColor: paint.down, priceLineColor: paint.ink_3 });
  layer.show({ colours: paint });
}

function spanWords(count) {
  const minutes = (count * STEP) / 60;
  return minutes < 120 || minutes % 60 ? `${minutes} min` : `${minutes / 60} h`;
}

function places(price) {
  if (price >= 1000) return 2;
  if (price >= 1) return 4;
  return price >= 0.01 ? 6 : 8;
}

function digits(price) {
  return price.toLocaleString("en-US", { minimumFractionDigits: places(price), maximumFractionDigits: places(price) });
}

function storeAnswer(answer) {
  for (const [time, open, high, low, close, volume] of answer.candles) {
    candles.set(time, { time, open: Number(open), high: Number(high), low: Number(low), close: Number(close), volume: Number(volume) });
  }
  for (const [time, ...values] of answer.past) past.set(time, [time, ...values.map((value) => (value === null ? null : Number(value)))]);
  for (const signal of answer.signals) signals.set(signal.time, signal);
  ahead = answer.ahead;
}

function drawChart() {
  const rows = [...candles.values()].sort((a, b) => a.time - b.time);
  if (!rows.length) return;
  const range = chart.timeScale().getVisibleLogicalRange();
  const newest = rows.at(-1);
  const reach = ahead?.horizons.at(-1)?.horizon ?? 0;
  const empty = Array.from({ length: reach }, (_, i) => ({ time: newest.time + STEP * (i + 1) }));
  const before = candlesDrawn;
  candleSeries.applyOptions({ priceFormat: { type: "price", precision: places(newest.close), minMove: 10 ** -places(newest.close) } });
  candleSeries.setData([...rows, ...empty]);
  volumeSeries.setData(rows.map((row) => ({ time: row.time, value: row.volume, color: faded(row.close >= row.open ? paint.up : paint.down, 0.3) })));
  const indexOf = new Map(rows.map((row, index) => [row.time, index]));
  const from = ahead ? indexOf.get(ahead.time) : undefined;
  const fan = from === undefined ? {} : {
    index: from,
    price: Number(ahead.price),
    points: ahead.horizons.map((row) => ({ index: from + row.horizon, words: spanWords(row.horizon), high: row.high.map(Number), low: row.low.map(Number) })),
  };
  layer.show({ past: [...past.values()].sort((a, b) => a[0] - b[0]), fan, indexOf });
  markers.setMarkers([...signals.values()].filter((signal) => indexOf.has(signal.time)).sort((a, b) => a.time - b.time).map(marker));
  if (!range || before === 0) showRange();
  else if (rows.length !== before) chart.timeScale().setVisibleLogicalRange({ from: range.from + rows.length - before, to: range.to + rows.length - before });
  candlesDrawn = rows.length;
}

function marker(signal) {
  const buy = signal.type === "buy";
  const outcome = { tp: "✓", sl: "✕", timeout: "·", void: "∅" }[signal.outcome] ?? "";
  return { time: signal.time, position: buy ? "belowBar" : "aboveBar", shape: buy ? "arrowUp" : "arrowDown", color: buy ? paint.up : paint.down, text: outcome };
}

function showRange() {
  const last = candles.size - 1;
  const reach = ahead?.horizons.at(-1)?.horizon ?? 6;
  // A long time range leaves less room for the future, but always the whole fan.
  chart.timeScale().setVisibleLogicalRange({ from: Math.max(-2, last - candlesShown), to: last + reach + 2 });
}

function showReadout(time) {
  const rows = [...candles.keys()];
  const row = candles.get(time) ?? candles.get(Math.max(...rows));
  if (!row) return;
  const prediction = past.get(row.time);
  const stamp = new Date(row.time * 1000).toISOString().slice(0, 16).replace("T", " ");
  const parts = [`${stamp} UTC`, `O ${digits(row.open)}`, `H ${digits(row.high)}`, `L ${digits(row.low)}`, `C ${digits(row.close)}`];
  if (prediction) parts.push(`next ${spanWords(horizon)}: ${digits(prediction[5])} – ${digits(prediction[2])}`);
  if (prediction && prediction[7] !== null) parts.push(`was ${digits(prediction[8])} – ${digits(prediction[7])}`);
  readout.replaceChildren(...parts.map((part) => Object.assign(document.createElement("span"), { textContent: part })));
}

async function load(whole = false) {
  const newest = Math.max(...candles.keys());
  const since = whole || !candles.size ? "" : `&since=${newest * 1000}`;
  const requestedHorizon = horizon;
  const answer = await fetch(`${feed}?horizon=${requestedHorizon}${since}`, { credentials: "same-origin" });
  if (answer.status === 401) { location.reload(); return; }
  if (!answer.ok || requestedHorizon !== horizon) return;
  if (whole) past.clear();
  storeAnswer(await answer.json());
  drawChart();
  showReadout();
  document.getElementById("chart-empty").hidden = candles.size > 0;
}

async function loadPanels() {
  const answer = await fetch(panels, { credentials: "same-origin" });
  if (!answer.ok) return;
  correctBy(answer);
  const fresh = document.createElement("template");
  fresh.innerHTML = await answer.text();
  for (const panel of fresh.content.querySelectorAll("[data-panel]")) {
    const old = document.querySelector(`main [data-panel="${panel.dataset.panel}"]`);
    if (old && !old.contains(document.activeElement)) old.replaceWith(panel);
  }
  hintLocalTimes();
}

let timer = null;
let busy = false;
function requestUpdate() {
  timer ??= setTimeout(async () => {
    timer = null;
    if (busy) { requestUpdate(); return; }
    busy = true;
    try { await Promise.all([load(), loadPanels()]); } catch { /* shown by the connection label */ } finally { busy = false; }
  }, GATHER_MS);
}

for (const choice of document.querySelectorAll('input[name="horizon"]')) {
  choice.addEventListener("change", () => { horizon = Number(choice.value); load(true).catch(() => {}); });
}
for (const button of document.querySelectorAll(".spans button")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll(".spans button")) other.setAttribute("aria-pressed", String(other === button));
    candlesShown = Number(button.dataset.candles);
    showRange();
  });
}
document.getElementById("show-past")?.addEventListener("change", (event) => { layer.showPast = event.target.checked; layer.show({}); });
document.addEventListener("theme-changed", () => { applyColours(); drawChart(); });
chart.subscribeCrosshairMove((move) => showReadout(move.time));

applyColours();
load(true).catch(() => {});
follow([symbol], { onSignal: requestUpdate, onRefresh: requestUpdate });

// The market page: candles without end, the newest forecast, and a past one beside what came.
import { CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, LineStyle, createChart, createSeriesMarkers } from "./vendor/lightweight-charts-5.2.1/lightweight-charts.standalone.production.mjs";
import { CANDLE_SECONDS, CandleStore } from "./candle_store.js";
import { candleTable, forecastTable } from "./chart_table.js";
import { colours, faded } from "./colours.js";
import { ForecastLayer } from "./forecast_layer.js";
import { IndicatorPanes } from "./indicator_panes.js";
import { follow } from "./live.js";
import { marketNow } from "./market_clock.js";
import { ask } from "./page.js";
import { turnPanels } from "./page_state.js";
import { clockText, writeTimes, zoneWord } from "./times.js";
import { fill, gettext } from "./words.js";

const GATHER_MS = 200;
const SHOWN_CANDLES = 144;
const LOAD_OLDER_WITHIN = 60;
const MAX_STEPS_BACK = 2016;
const MIN_BAR_SPACING = 0.05;
const MIN_SHOWN_CANDLES = 4;
const place = document.getElementById("chart");
const box = document.getElementById("chart-box");
const readout = document.getElementById("readout");
const rewind = document.getElementById("rewind");
const rewindWords = document.getElementById("rewind-words");
const tablePlace = document.getElementById("chart-table");
const tableButton = document.getElementById("show-table");
const opened = document.getElementById("opened");
const { symbol, feed, forecast: forecastAddress, opened: openedAddress, indicators: indicatorAddress, panels, places: ownPlaces } = place.dataset;

let paint = colours();
let interval = "5m";
let store = new CandleStore(CANDLE_SECONDS);
let signals = new Map();
let revisions = new Set();
let past = new Map();
let ahead = null;
let isEnd = false;
let isLoadingOlder = false;
let generation = 0;

const chart = createChart(place, {
  autoSize: true,
  // The attribution stands in the footer: the library's own mark would need inline styles.
  layout: { attributionLogo: false, fontFamily: "Inter, system-ui, sans-serif", fontSize: 12, background: { type: ColorType.Solid, color: "transparent" } },
  crosshair: { mode: CrosshairMode.Normal },
  timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 2, minBarSpacing: MIN_BAR_SPACING, tickMarkFormatter: (time, kind) => clockText(time * 1000, kind < 3 ? { date: true } : {}).slice(0, kind < 3 ? 6 : undefined) },
  rightPriceScale: { scaleMargins: { top: 0.08, bottom: 0.16 } },
  localization: { timeFormatter: (time) => `${clockText(time * 1000, { date: true })} ${zoneWord()}` },
});
const candleSeries = chart.addSeries(CandlestickSeries, { priceLineStyle: LineStyle.Dotted });
const volumeSeries = chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.88, bottom: 0 } });
const markers = createSeriesMarkers(candleSeries, []);
const layer = new ForecastLayer();
candleSeries.attachPrimitive(layer);
const panes = new IndicatorPanes(chart, [...document.querySelectorAll('input[name="indicator"]')], ask, digits);
const handle = document.createElement("button");
handle.type = "button";
handle.className = "handle";
handle.tabIndex = -1;
handle.hidden = true;
handle.title = gettext("Drag to another forecast");
box.append(handle);

// --- texts ---
function spanWords(candles) {
  const [hours, minutes] = [Math.floor((candles * 5) / 60), (candles * 5) % 60];
  if (!hours) return `${minutes} min`;
  return minutes ? `${hours} h ${String(minutes).padStart(2, "0")}` : `${hours} h`;
}

// Decimals of the market's own prices; before they are known, those of the size of a price.
function places(signed) {
  if (ownPlaces) return Number(ownPlaces);
  const price = Math.abs(signed);
  if (price >= 1000 || price === 0) return 2;
  if (price >= 1) return 4;
  return price >= 0.01 ? 6 : 8;
}

function digits(price) {
  return price.toLocaleString("en-US", { minimumFractionDigits: places(price), maximumFractionDigits: places(price) }).replace("-", "−");
}

function stamp(time) { return clockText(time * 1000, { date: true }); }

// --- data ---
function numbers(forecast) {
  if (!forecast) return null;
  const optional = (price) => (price === null ? null : Number(price));
  return {
    ...forecast,
    price: Number(forecast.price),
    horizons: forecast.horizons.map((row) => ({ ...row, high: row.high.map(Number), low: row.low.map(Number), actual_high: optional(row.actual_high), actual_low: optional(row.actual_low) })),
  };
}

function keep(answer) {
  store.put(answer.candles);
  store.absences.push(...answer.absences);
  for (const [time, ...values] of answer.past) past.set(time, [time, ...values.map((value) => (value === null ? null : Number(value)))]);
  for (const signal of answer.signals) signals.set(signal.time, signal);
  for (const time of answer.revisions) revisions.add(time);
}

const carpet = document.getElementById("show-carpet");
const chosenHorizon = () => Number(document.querySelector('input[name="horizon"]:checked')?.value ?? 6);
const address = (query) => `${feed}?interval=${interval}${carpet.checked ? `&horizon=${chosenHorizon()}` : ""}${query}`;

// Loads the newest stretch; everything else is forgotten, since interval or horizon changed.
async function loadWhole() {
  generation += 1;
  const own = generation;
  const answer = await ask(address(""));
  if (!answer.ok || own !== generation) return;
  const series = await answer.json();
  const wasEmpty = store.size === 0 || store.step !== series.step;
  store = new CandleStore(series.step);
  [signals, revisions, past, isEnd] = [new Map(), new Set(), new Map(), series.candles.length === 0];
  keep(series);
  ahead = numbers(series.ahead);
  drawChart();
  if (wasEmpty) showRange();
  drawIndicators();
}

async function loadNewest() {
  if (!store.size) { await loadWhole(); return; }
  const own = generation;
  const answer = await ask(address(`&since=${store.last * 1000}`));
  if (!answer.ok || own !== generation) return;
  const before = store.last;
  const series = await answer.json();
  keep(series);
  ahead = numbers(series.ahead);
  const range = chart.timeScale().getVisibleLogicalRange();
  drawChart();
  const added = (store.last - before) / store.step;
  // A chart that shows the newest candle moves with it; one that is scrolled back stays where it is.
  if (range && added && range.to >= (before - store.first) / store.step) chart.timeScale().setVisibleLogicalRange({ from: range.from + added, to: range.to + added });
  if (added) drawIndicators();
}

async function loadOlder() {
  if (isEnd || isLoadingOlder || !store.size) return;
  isLoadingOlder = true;
  const own = generation;
  try {
    // As many more as there are: each is drawn again with every stretch, so few long stretches cost less than many.
    const answer = await ask(address(`&before=${store.first * 1000}&count=${store.size}`));
    if (!answer.ok || own !== generation) return;
    const series = await answer.json();
    if (!series.candles.length) { isEnd = true; return; }
    const before = store.first;
    keep(series);
    const range = chart.timeScale().getVisibleLogicalRange();
    drawChart();
    const added = (before - store.first) / store.step;
    chart.timeScale().setVisibleLogicalRange({ from: range.from + added, to: range.to + added });
    drawIndicators();
  } finally { isLoadingOlder = false; }
  fillLeft(chart.timeScale().getVisibleLogicalRange());
}

// Loads older candles while the left edge shows empty places.
function fillLeft(range) {
  if (range && range.from < LOAD_OLDER_WITHIN) loadOlder().catch(() => {});
}

let indicatorTimer = null;
function drawIndicators() {
  clearTimeout(indicatorTimer);
  const count = panes.chosen().length;
  box.style.setProperty("--panes", String(panes.chosen().filter((choice) => choice.dataset.overlay !== "1").length));
  document.getElementById("indicator-count").textContent = count ? String(count) : "";
  indicatorTimer = setTimeout(() => { panes.draw(`${indicatorAddress}?interval=${interval}`, store.length, paint).catch(() => {}); }, GATHER_MS);
}

// --- drawing ---
function applyColours() {
  paint = colours();
  chart.applyOptions({
    layout: { textColor: paint.ink_2, panes: { separatorColor: paint.line, separatorHoverColor: paint.line } },
    grid: { vertLines: { color: faded(paint.line, 0.5) }, horzLines: { color: faded(paint.line, 0.7) } },
    rightPriceScale: { borderColor: paint.line },
    timeScale: { borderColor: paint.line },
    crosshair: { vertLine: { color: paint.ink_3, labelBackgroundColor: paint.ink_2 }, horzLine: { color: paint.ink_3, labelBackgroundColor: paint.ink_2 } },
  });
  candleSeries.applyOptions({ upColor: paint.up, downColor: paint.down, borderVisible: false, wickUpColor: paint.up, wickDownColor: paint.down, priceLineColor: paint.ink_3 });
  layer.show({ colours: paint, words: spanWords });
}

function drawChart() {
  document.getElementById("chart-empty").hidden = store.size > 0;
  if (!store.size) return;
  const newest = store.newest();
  const reach = ahead ? Math.ceil(((ahead.horizons.at(-1).horizon + 1) * CANDLE_SECONDS) / store.step) : 1;
  candleSeries.applyOptions({ priceFormat: { type: "custom", formatter: digits, minMove: 10 ** -places(newest.close) } });
  const points = store.points(reach);
  candleSeries.setData(points);
  const [rise, fall] = [faded(paint.up, 0.3), faded(paint.down, 0.3)];
  volumeSeries.setData(points.map((row) => (row.close === undefined ? row : { time: row.time, value: row.volume, color: row.close >= row.open ? rise : fall })));
  layer.show({ store, ahead, holes: store.holes(), revised: revisedCandles(), past: [...past.values()].sort((a, b) => a[0] - b[0]), pastHorizon: chosenHorizon(), showPast: carpet.checked });
  markers.setMarkers(allMarkers());
  rewind.max = String(Math.min(MAX_STEPS_BACK, Math.floor((store.last - store.first) / CANDLE_SECONDS)));
  if (!layer.chosen) rewind.value = rewind.max;
  showReadout();
  placeHandle();
  if (!tablePlace.hidden) writeTable();
}

const bucket = (time) => time - (time % store.step);

function revisedCandles() {
  return [...new Set([...revisions].map(bucket))].flatMap((time) => store.byTime.get(time) ?? []);
}

// What is to be said of a candle, or of a place without one.
function remark(row) {
  if (row.close === undefined) return store.isAbsent(row.time) ? gettext("absent at the exchange") : gettext("missing here");
  const parts = row.missing ? [fill(gettext("{count} of its five-minute candles are absent"), { count: row.missing })] : [];
  if (revisedCandles().includes(row)) parts.push(gettext("revised after its close"));
  return parts.join("; ");
}

function allMarkers() {
  const outcomes = { tp: "✓", sl: "✕", timeout: "·", void: "∅" };
  const found = [...signals.values()].filter((signal) => store.byTime.has(bucket(signal.time))).map((signal) => {
    const buy = signal.type === "buy";
    return { time: bucket(signal.time), position: buy ? "belowBar" : "aboveBar", shape: buy ? "arrowUp" : "arrowDown", color: buy ? paint.up : paint.down, text: outcomes[signal.outcome] ?? "" };
  });
  return found.sort((a, b) => a.time - b.time);
}

function showRange() {
  const last = store.length - 1;
  const reach = ahead ? Math.ceil((ahead.horizons.at(-1).horizon * CANDLE_SECONDS) / store.step) : 6;
  chart.timeScale().setVisibleLogicalRange({ from: Math.max(-2, last - SHOWN_CANDLES), to: last + reach + 6 });
}

function showReadout(time) {
  const isHole = time >= store.first && time <= store.last && !store.byTime.has(time);
  const row = isHole ? { time } : store.byTime.get(time) ?? store.newest();
  if (!row) return;
  const parts = [`${stamp(row.time)} ${zoneWord()}`];
  if (!isHole) parts.push(`O ${digits(row.open)}`, `H ${digits(row.high)}`, `L ${digits(row.low)}`, `C ${digits(row.close)}`);
  if (remark(row)) parts.push(remark(row));
  const promised = past.get(row.time - chosenHorizon() * CANDLE_SECONDS);
  if (carpet.checked && promised) {
    parts.push(fill(gettext("promised for these {span}: {range}"), { span: spanWords(chosenHorizon()), range: `${digits(promised[5])} – ${digits(promised[2])}` }));
    if (promised[7] !== null) parts.push(fill(gettext("came: {range}"), { range: `${digits(promised[8])} – ${digits(promised[7])}` }));
  }
  const shown = layer.chosen ?? ahead;
  if (!carpet.checked && shown) {
    const first = shown.horizons[0];
    parts.push(fill(gettext("next {span}: {range}"), { span: spanWords(first.horizon), range: `${digits(first.low[3])} – ${digits(first.high[3])}` }));
  }
  readout.replaceChildren(...parts.map((part) => Object.assign(document.createElement("span"), { textContent: part })));
}

function writeTable() {
  const range = chart.timeScale().getVisibleLogicalRange();
  const points = store.points();
  const visible = range ? points.slice(Math.max(0, Math.floor(range.from)), Math.max(0, Math.ceil(range.to) + 1)) : points;
  const shown = layer.chosen ?? ahead;
  tablePlace.replaceChildren(...(shown ? [forecastTable(shown, digits, spanWords)] : []), candleTable(visible, digits, stamp, remark));
}

function toggleTable() {
  const show = tablePlace.hidden;
  tablePlace.hidden = !show;
  box.hidden = show;
  tableButton.setAttribute("aria-pressed", String(show));
  if (show) writeTable();
}

// --- a forecast of the past ---
let wanted = null;
let isChoosing = false;

async function choose(time) {
  wanted = time;
  if (isChoosing) return;
  isChoosing = true;
  try {
    while (wanted !== null) {
      const asked = wanted;
      wanted = null;
      if (asked >= store.last + store.step - CANDLE_SECONDS) { unchoose(); continue; }
      const answer = await ask(`${forecastAddress}?at=${asked * 1000}`);
      if (!answer.ok) continue;
      const found = numbers((await answer.json()).forecast);
      layer.show({ chosen: found });
      rewindWords.textContent = found ? `${stamp(found.time)} ${zoneWord()} ${verdicts(found)}` : fill(gettext("{time}: no forecast"), { time: stamp(asked) });
      placeHandle();
      showReadout();
      if (!tablePlace.hidden) writeTable();
    }
  } catch { /* shown by the line of state */ } finally { isChoosing = false; }
}

function unchoose() {
  layer.show({ chosen: null });
  rewind.value = rewind.max;
  rewindWords.textContent = gettext("now");
  placeHandle();
  showReadout();
}

// Whether the 80 % bands of each horizon held, for the high and for the low.
function verdicts(forecast) {
  return forecast.horizons.map((row) => {
    if (row.actual_high === null) return `${spanWords(row.horizon)} …`;
    const held = row.actual_high >= row.high[1] && row.actual_high <= row.high[5] && row.actual_low >= row.low[1] && row.actual_low <= row.low[5];
    return `${spanWords(row.horizon)} ${held ? "✓" : "✕"}`;
  }).join(" · ");
}

function placeHandle() {
  const shown = layer.chosen ?? ahead;
  if (!shown || !store.size) { handle.hidden = true; return; }
  const scale = chart.timeScale();
  const [zero, one] = [scale.logicalToCoordinate(0), scale.logicalToCoordinate(1)];
  const x = zero + store.placeOf(shown.time) * (one - zero);
  handle.hidden = zero === null || x < 0 || x > scale.width();
  // The chart box has a margin of 4 px.
  handle.style.left = `${x + 4}px`;
}

handle.addEventListener("pointerdown", (event) => {
  handle.setPointerCapture(event.pointerId);
  const move = (moved) => {
    const scale = chart.timeScale();
    const [zero, one] = [scale.logicalToCoordinate(0), scale.logicalToCoordinate(1)];
    const x = moved.clientX - place.getBoundingClientRect().left;
    const time = store.timeAt((x - zero) / (one - zero));
    rewind.value = String(Number(rewind.max) - Math.round((store.last - time) / CANDLE_SECONDS));
    choose(Math.min(time, newestForecastTime()));
  };
  handle.addEventListener("pointermove", move);
  handle.addEventListener("pointerup", () => handle.removeEventListener("pointermove", move), { once: true });
});

function newestForecastTime() { return store.last + store.step - CANDLE_SECONDS; }
rewind.addEventListener("input", () => choose(newestForecastTime() - (Number(rewind.max) - Number(rewind.value)) * CANDLE_SECONDS));

async function openForecast(horizon) {
  const shown = layer.chosen ?? ahead;
  const at = shown ? shown.time * 1000 : marketNow();
  opened.hidden = false;
  if (!opened.childElementCount) opened.textContent = gettext("Loading…");
  try {
    const answer = await ask(`${openedAddress}?at=${Math.floor(at)}&horizon=${horizon}`);
    if (!answer.ok) return;
    opened.innerHTML = await answer.text();
    writeTimes(opened);
    for (const button of opened.querySelectorAll("[data-open-horizon]")) button.addEventListener("click", () => openForecast(Number(button.dataset.openHorizon)));
    opened.querySelector("[data-close]")?.addEventListener("click", () => { opened.hidden = true; opened.replaceChildren(); document.getElementById("open-forecast").focus(); });
    opened.scrollIntoView({ block: "nearest" });
  } catch { /* shown by the line of state */ }
}

// --- panels ---
async function loadPanels() {
  const answer = await ask(panels);
  if (!answer.ok) return;
  const fresh = document.createElement("template");
  fresh.innerHTML = await answer.text();
  for (const panel of fresh.content.querySelectorAll("[data-panel]")) {
    const old = document.querySelector(`main [data-panel="${panel.dataset.panel}"]`);
    if (old && !old.contains(document.activeElement)) old.replaceWith(panel);
  }
  writeTimes();
  turnPanels();
}

let timer = null;
let busy = false;
function requestUpdate() {
  timer ??= setTimeout(async () => {
    timer = null;
    if (busy) { requestUpdate(); return; }
    busy = true;
    try { await Promise.all([loadNewest(), loadPanels()]); } catch { /* shown by the line of state */ } finally { busy = false; }
  }, GATHER_MS);
}

// --- controls ---
for (const choice of document.querySelectorAll('input[name="interval"]')) {
  choice.addEventListener("change", () => { interval = choice.value; loadWhole().catch(() => {}); });
}
for (const choice of document.querySelectorAll('input[name="horizon"]')) choice.addEventListener("change", () => { if (carpet.checked) loadWhole().catch(() => {}); });
carpet.addEventListener("change", () => loadWhole().catch(() => {}));
for (const choice of panes.choices) choice.addEventListener("change", drawIndicators);
tableButton.addEventListener("click", toggleTable);
document.getElementById("open-forecast").addEventListener("click", () => openForecast(chosenHorizon()));
document.addEventListener("theme-changed", () => { applyColours(); drawChart(); panes.recolour(paint); });
// Paper gets a picture: the chart itself is drawn on the next frame, in the size of the screen.
addEventListener("beforeprint", () => {
  const picture = chart.takeScreenshot();
  picture.className = "on-paper";
  box.append(picture);
});
addEventListener("afterprint", () => box.querySelector(".on-paper")?.remove());
document.addEventListener("zone-changed", () => { chart.applyOptions({}); drawChart(); });
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
  if (event.target.matches('input:not([type="radio"], [type="checkbox"], [type="range"]), select, textarea')) return;
  if (event.key === "t") toggleTable();
  if (event.key === "/") { event.preventDefault(); document.getElementById("switcher-input").focus(); }
});
// With the chart in focus the arrows scroll, and plus and minus change the scale.
place.addEventListener("keydown", (event) => {
  const range = chart.timeScale().getVisibleLogicalRange();
  if (!range) return;
  const width = range.to - range.from;
  // Beyond the limits of the scale the library would keep the width and move the right edge instead.
  const widest = Math.max(width, chart.timeScale().width() / MIN_BAR_SPACING - 1);
  const narrowest = Math.min(width, MIN_SHOWN_CANDLES);
  const wider = (Math.min(width * 1.25, widest) - width) / 2;
  const narrower = (width - Math.max(width * 0.75, narrowest)) / 2;
  const moves = { ArrowLeft: [-width / 8, -width / 8], ArrowRight: [width / 8, width / 8], "+": [narrower, -narrower], "-": [-wider, wider] };
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  if (move[0] !== 0) chart.timeScale().setVisibleLogicalRange({ from: range.from + move[0], to: range.to + move[1] });
});
const switcher = document.getElementById("switcher-input");
function switchMarket(event) {
  const known = [...document.getElementById("symbols").options].map((option) => option.value);
  const typed = switcher.value.trim().toUpperCase();
  const fits = known.includes(typed) ? [typed] : known.filter((name) => name.includes(typed));
  event.preventDefault();
  if (typed && fits.length) location.assign(switcher.dataset.address.replace("SYMBOL", encodeURIComponent(fits[0])));
}
document.getElementById("switcher").addEventListener("submit", switchMarket);
switcher.addEventListener("change", (event) => { if (document.querySelector(`#symbols option[value="${CSS.escape(switcher.value)}"]`)) switchMarket(event); });
chart.subscribeCrosshairMove((move) => showReadout(move.time));
chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
  placeHandle();
  fillLeft(range);
});
// An expired forecast fades without any message.
setInterval(() => {
  const expired = ahead !== null && marketNow() > ahead.valid_until;
  if (layer.isExpired !== expired) layer.show({ isExpired: expired });
}, 1000);

applyColours();
loadWhole().catch(() => {});
follow([symbol], { onSignal: requestUpdate, onRefresh: requestUpdate, shownSeq: () => Number(document.querySelector(".market-head").dataset.seq || 0) });

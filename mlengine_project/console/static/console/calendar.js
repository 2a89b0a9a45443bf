// The calendar of stored candles: one square a day, with a letter where anything happened.
import { element, framed, keep } from "./charts.js";
import { numberText } from "./chart_options.js";
import { ask } from "./page.js";
import { fill, gettext } from "./words.js";

const STATES = { complete: "", repaired: "r", revised: "v", quarantined: "q", absent: "a", missing: "m" };
const COUNTS = ["expected", "stored", "missing", "absent", "repaired", "revised", "quarantined"];
const words = () => ({ complete: gettext("complete"), repaired: gettext("repaired"), revised: gettext("revised"), quarantined: gettext("quarantined"), absent: gettext("absent at the exchange"), missing: gettext("missing"), expected: gettext("expected"), stored: gettext("stored") });
const CELL = 18;

function colourOf(state, ink) {
  return { complete: ink.healthy, repaired: ink.accent, revised: ink.up, quarantined: ink.late, absent: ink.line_strong, missing: ink.failed }[state];
}

function lines(day) {
  const names = words();
  return [day.day, names[day.state], ...COUNTS.filter((name) => day[name] || name === "stored").map((name) => `${names[name]}: ${numberText(day[name], 0)}`)].join("\n");
}

function option(days, width) {
  const weeks = Math.max(8, Math.floor((width - 48) / CELL) - 1);
  // As many weeks as fit; older ones are in the table.
  const shown = days.slice(-weeks * 7);
  const range = [shown[0].day, shown.at(-1).day];
  const label = (ink) => ({ color: ink.ink_3, fontSize: 12, fontFamily: "Inter, sans-serif" });
  return (ink) => ({
    animation: false, backgroundColor: "transparent",
    tooltip: { renderMode: "richText", confine: true, backgroundColor: ink.surface, borderColor: ink.line_strong, textStyle: { color: ink.ink, fontSize: 12 }, formatter: ({ dataIndex }) => lines(shown[dataIndex]) },
    calendar: { left: 40, top: 24, cellSize: [CELL, CELL], range, orient: "horizontal", splitLine: { show: false }, yearLabel: { show: false },
      itemStyle: { color: "transparent", borderColor: ink.surface, borderWidth: 2 }, dayLabel: { ...label(ink), firstDay: 1, nameMap: document.documentElement.lang === "es" ? ["D", "L", "M", "X", "J", "V", "S"] : "en" }, monthLabel: { ...label(ink), nameMap: document.documentElement.lang === "es" ? ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"] : "en" } },
    series: { type: "heatmap", coordinateSystem: "calendar", data: shown.map((day) => ({ value: [day.day, 1], itemStyle: { color: colourOf(day.state, ink), opacity: day.state === "complete" ? 0.45 : 1, borderColor: ink.surface, borderWidth: 2 }, label: { show: day.state !== "complete", formatter: STATES[day.state], color: ink.surface, fontSize: 12, fontWeight: 600 } })) },
  });
}

function tableOf(days) {
  const names = words();
  const head = element("tr", {}, ...[gettext("Day"), gettext("State"), ...COUNTS.map((name) => names[name])].map((text, i) => element("th", { textContent: text, scope: "col", className: i < 2 ? "" : "num" })));
  const rows = days.toReversed().map((day) => element("tr", {}, element("th", { textContent: day.day, scope: "row" }), element("td", { textContent: names[day.state] }), ...COUNTS.map((name) => element("td", { className: "num", textContent: numberText(day[name], 0) }))));
  return element("table", { className: "list" }, element("thead", {}, head), element("tbody", {}, ...rows));
}

function legend() {
  const names = words();
  return element("ul", { className: "legend days" }, ...Object.keys(STATES).map((state) => element("li", { className: state }, element("i", { textContent: STATES[state] }), names[state])));
}

async function load(place) {
  try {
    const answer = await ask(place.dataset.days);
    if (!answer.ok) throw new Error(`${answer.status}`);
    const { days, symbol } = await answer.json();
    if (!days.length) { place.replaceChildren(element("p", { className: "muted", textContent: gettext("No candle is stored yet. The first days appear when history has been fetched.") })); return; }
    const sick = days.filter((day) => day.state === "missing").length;
    const plot = element("div", { className: "plot calendar-plot", role: "img", ariaLabel: symbol });
    plot.style.height = `${24 + 7 * CELL + 8}px`;
    const caption = fill(gettext("One square a day (UTC), {days} days; {missing} with missing candles. The most serious thing of a day gives its colour and letter."), { days: days.length, missing: sick });
    place.replaceChildren(framed(fill(gettext("Candles of {symbol}"), { symbol }), caption, element("div", {}, legend(), plot), () => tableOf(days)));
    keep(plot, option(days, plot.clientWidth));
  } catch (error) {
    place.replaceChildren(element("p", { className: "muted failed", role: "alert", textContent: fill(gettext("The numbers could not be loaded ({why}). Reload the page to try again."), { why: error.message }) }));
  }
  place.ariaBusy = "false";
}

const place = document.getElementById("calendar");
if (place) load(place);

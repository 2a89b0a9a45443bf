// Options of a chart of statistics for ECharts, from the numbers of one panel.
import { gettext } from "./words.js";

// Signs that the library does not have by name.
const SHAPES = { cross: "path://M4 0h2v4h4v2H6v4H4V6H0V4h4z", down: "path://M0 0h10L5 10z" };

const BAR = 4;

export function places(ends) {
  const span = Math.abs(ends[1] - ends[0]);
  return span < 0.5 ? 3 : span < 5 ? 2 : span < 500 ? 1 : 0;
}

export function numberText(value, digits) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return value < 0 && Number(size.replaceAll(",", "")) !== 0 ? `−${size}` : size;
}

export function valueText(value, error, digits, unit) {
  const end = unit && value !== null && value !== undefined ? ` ${unit}` : "";
  return error === null || error === undefined ? `${numberText(value, digits)}${end}` : `${numberText(value, digits)} ± ${numberText(error, digits)}${end}`;
}

function tones(ink) {
  return { own: ink.accent, second: ink.ink, third: ink.ink_3, other: ink.ink_3 };
}

// A whisker from value - error to value + error, with caps; a custom series, since ECharts has no error bars.
function whiskers(points, colour, isRow) {
  return {
    type: "custom", silent: true, z: 2, data: points, encode: isRow ? { x: [0, 2], y: 1 } : { x: 0, y: [1, 2] }, itemStyle: { color: colour },
    renderItem(_, api) {
      const [low, high] = isRow ? [api.coord([api.value(0), api.value(1)]), api.coord([api.value(2), api.value(1)])]
        : [api.coord([api.value(0), api.value(1)]), api.coord([api.value(0), api.value(2)])];
      const line = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style: { stroke: colour, lineWidth: 1.5, opacity: 0.75 } });
      const cap = ([x, y]) => (isRow ? line(x, y - BAR, x, y + BAR) : line(x - BAR, y, x + BAR, y));
      return { type: "group", children: [line(...low, ...high), cap(low), cap(high)] };
    },
  };
}

function referenceLines(chart, ink, isRow) {
  const along = isRow ? "xAxis" : "yAxis";
  return { silent: true, symbol: "none", animation: false, label: { show: false }, lineStyle: { color: ink.line_strong, type: "solid", width: 1 }, data: chart.lines.map((at) => ({ [along]: at })) };
}

function marks(chart, panel, ink, isRow) {
  const colour = tones(ink), digits = places(chart.ends), series = [];
  panel.series.forEach((one, number) => {
    const tone = colour[one.tone];
    const isOwn = one.tone === "own";
    const position = (value, i) => (isRow ? [value, i] : [one.at.length ? one.at[i] : i, value]);
    const known = one.values.map((value, i) => [value, i]).filter(([value]) => value !== null);
    const bars = known.filter(([, i]) => one.errors[i] !== null && one.errors[i] !== undefined)
      .map(([value, i]) => (isRow ? [value - one.errors[i], i, value + one.errors[i]] : [one.at.length ? one.at[i] : i, value - one.errors[i], value + one.errors[i]]));
    const isColumn = chart.form === "columns" && isOwn;
    const joined = chart.form === "time" || chart.form === "curves";
    series.push({
      name: one.name, type: isColumn ? "bar" : joined ? "line" : "scatter", symbol: SHAPES[one.shape] ?? one.shape, symbolSize: chart.form === "curves" ? 5 : isOwn ? 8 : 7,
      // Nothing joins what lies on both sides of an unknown value.
      data: joined && chart.form === "time" ? one.values.map((value, i) => (value === null ? "-" : position(value, i))) : known.map(([value, i]) => position(value, i)),
      connectNulls: false, showSymbol: true, z: isOwn ? 4 : 3, animation: false, barMaxWidth: 22, cursor: "default",
      lineStyle: { color: tone, width: isOwn ? 1.5 : 1, type: isOwn ? "solid" : "dashed" },
      itemStyle: isOwn ? { color: tone, opacity: isColumn ? 0.7 : 1 } : { color: ink.surface, borderColor: tone, borderWidth: 1.5 },
      ...(number === 0 && chart.lines.length ? { markLine: referenceLines(chart, ink, isRow) } : {}),
      tooltip: { formatter: ({ dataIndex }) => {
        const i = joined && chart.form === "time" ? dataIndex : known[dataIndex][1];
        const at = one.at.length ? `${gettext("forecast")} ${numberText(one.at[i], 3)}` : panel.categories[i];
        return `${at}\n${one.name}: ${valueText(one.values[i], one.errors[i], digits, chart.unit)}`;
      } },
    });
    if (bars.length) series.push(whiskers(bars, tone, isRow));
  });
  return series;
}

export function optionOf(chart, panel, ink) {
  const isRow = chart.form === "rows", isCurve = chart.form === "curves", digits = places(chart.ends);
  const label = { color: ink.ink_3, fontSize: 12, fontFamily: "Inter, sans-serif" };
  const line = { lineStyle: { color: ink.line } };
  const values = {
    type: "value", min: chart.ends[0], max: chart.ends[1], splitNumber: 4, splitLine: { lineStyle: { color: ink.line } }, axisLine: { show: false }, axisTick: { show: false },
    axisLabel: { ...label, showMinLabel: false, showMaxLabel: false, hideOverlap: true, formatter: (value) => numberText(value, digits) },
  };
  const names = { type: "category", data: panel.categories, axisTick: { show: false }, axisLine: line, axisLabel: { ...label, hideOverlap: !isRow, color: isRow ? ink.ink_2 : ink.ink_3, ...(isRow ? { interval: 0 } : {}) } };
  const hasNotes = isRow && panel.notes.length > 0;
  const ends = { ...names, position: "right", inverse: true, axisLine: { show: false }, data: panel.notes.map((note, i) => `${i}`), axisLabel: { ...label, interval: 0, color: ink.ink, formatter: (_, i) => panel.notes[i] } };
  const series = marks(chart, panel, ink, isRow);
  if (isCurve) {
    const [low, high] = chart.ends;
    series.unshift({ type: "line", silent: true, animation: false, symbol: "none", data: [[low, low], [high, high]], lineStyle: { color: ink.line_strong, width: 1, type: "solid" }, tooltip: { show: false } });
  }
  return {
    animation: false, backgroundColor: "transparent",
    grid: { left: 8, right: hasNotes ? 8 : 16, top: 8, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    // Text on the canvas: markup with styles would be refused by the content policy.
    tooltip: { renderMode: "richText", confine: true, backgroundColor: ink.surface, borderColor: ink.line_strong, textStyle: { color: ink.ink, fontSize: 12 } },
    xAxis: isRow ? values : isCurve ? { ...values, splitLine: { show: false } } : names,
    yAxis: isRow ? [{ ...names, inverse: true }, ...(hasNotes ? [ends] : [])] : values,
    series: hasNotes ? [...series, { type: "scatter", yAxisIndex: 1, data: [], silent: true }] : series,
  };
}

export function heightOf(chart, panel) {
  return chart.form === "rows" ? 36 + 22 * Math.max(panel.categories.length, 1) : chart.form === "curves" ? 280 : 210;
}

// Indicators of the catalogue on the chart: those in prices over the candles, the others in panes of their own.
import { LineSeries } from "./vendor/lightweight-charts-5.2.1/lightweight-charts.standalone.production.mjs";

const LINES = 5;

// Values of an indicator are of any size; a price has the places of its market.
function short(value) {
  const size = Math.abs(value);
  const places = size >= 100 ? 1 : size >= 1 || size === 0 ? 2 : size >= 0.01 ? 4 : 6;
  return value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places }).replace("-", "−");
}

function lineColour(colours, line) { return colours[`series_${(line % LINES) + 1}`]; }

export class IndicatorPanes {
  constructor(chart, choices, ask, digits) {
    this.chart = chart;
    this.choices = choices;
    this.ask = ask;
    this.digits = digits;
    this.series = new Map();
    this.request = 0;
  }

  chosen() { return this.choices.filter((choice) => choice.checked); }

  // Draws the chosen indicators at the newest `rows` candles again.
  async draw(address, rows, colours) {
    const chosen = this.chosen();
    this.clear();
    this.request += 1;
    const { request } = this;
    if (!chosen.length || !rows) return;
    const names = chosen.map((choice) => choice.value).join(",");
    const answer = await this.ask(`${address}&names=${encodeURIComponent(names)}&rows=${rows}`);
    if (!answer.ok || request !== this.request) return;
    const { times, values } = await answer.json();
    let pane = 0;
    for (const choice of chosen) {
      const isOverlay = choice.dataset.overlay === "1";
      if (!isOverlay) pane += 1;
      for (const output of choice.dataset.outputs.split(",")) {
        const priceFormat = { type: "custom", formatter: isOverlay ? this.digits : short, minMove: 1e-8 };
        const series = this.chart.addSeries(LineSeries, { color: lineColour(colours, this.series.size), lineWidth: 1.5, title: output, priceFormat, priceLineVisible: false, crosshairMarkerRadius: 3 }, isOverlay ? 0 : pane);
        series.setData(times.map((time, i) => (values[output][i] === null ? { time } : { time, value: values[output][i] })));
        this.series.set(output, series);
      }
    }
    this.chart.panes().forEach((one, index) => one.setStretchFactor(index ? 1 : 4));
  }

  recolour(colours) {
    [...this.series.values()].forEach((series, line) => series.applyOptions({ color: lineColour(colours, line) }));
  }

  clear() {
    for (const series of this.series.values()) this.chart.removeSeries(series);
    this.series.clear();
    for (let index = this.chart.panes().length - 1; index > 0; index -= 1) this.chart.removePane(index);
  }
}

// Chart layer with forecasts: the newest one, one chosen from the past beside what came, and on request all of one
// horizon. The chart library has no bands.
import { CANDLE_SECONDS } from "./candle_store.js";
import { faded } from "./colours.js";

// Positions of the band edges among the seven quantiles, widest first, and how much each adds to the colour.
const BANDS = [[0, 6, 0.13], [1, 5, 0.15], [2, 4, 0.22]];
const MEDIAN = 3;
const EXPIRED = 0.35;
const H10 = 1, H50 = 2, H90 = 3, L10 = 4, L50 = 5, L90 = 6, HIGH = 7, LOW = 8;

export class ForecastLayer {
  constructor() {
    this.store = null;
    this.ahead = null;
    this.chosen = null;
    this.past = [];
    this.holes = [];
    this.revised = [];
    this.pastHorizon = 0;
    this.showPast = false;
    this.isExpired = false;
    this.words = String;
    this.colours = null;
    this.views = [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.draw(target) }) }];
  }

  attached({ chart, series, requestUpdate }) {
    this.chart = chart;
    this.series = series;
    this.requestUpdate = requestUpdate;
  }

  paneViews() { return this.views; }

  show(changes) {
    Object.assign(this, changes);
    this.requestUpdate?.();
  }

  // Room for every visible end of the forecasts.
  autoscaleInfo(from, to) {
    if (!this.store) return null;
    const prices = [];
    for (const forecast of [this.ahead, this.chosen]) {
      for (const row of forecast?.horizons ?? []) {
        const place = this.store.placeOf(forecast.time + row.horizon * CANDLE_SECONDS);
        if (place >= from && place <= to + 1) prices.push(row.low[0], row.high[6]);
      }
    }
    return prices.length ? { priceRange: { minValue: Math.min(...prices), maxValue: Math.max(...prices) } } : null;
  }

  draw(target) {
    if (!this.chart || !this.colours || !this.store?.size) return;
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      const scale = this.chart.timeScale();
      this.origin = scale.logicalToCoordinate(0);
      this.spacing = scale.logicalToCoordinate(1) - this.origin;
      if (this.origin === null) return;
      context.save();
      context.lineJoin = "round";
      this.drawHoles(context, mediaSize);
      this.drawRevisions(context, mediaSize);
      if (this.showPast) this.drawPast(context, mediaSize.width);
      if (this.chosen) this.drawForecast(context, this.chosen, mediaSize.width, 1);
      if (this.ahead && this.ahead.time !== this.chosen?.time) this.drawForecast(context, this.ahead, mediaSize.width, this.isExpired ? EXPIRED : 1);
      context.restore();
    });
  }

  x(time) { return this.origin + this.store.placeOf(time) * this.spacing; }
  y(price) { return this.series.priceToCoordinate(price); }

  // Hatched where candles are missing here, plain where the exchange has none.
  drawHoles(context, { width, height }) {
    context.strokeStyle = faded(this.colours.line_strong, 0.6);
    context.lineWidth = 1;
    for (const [from, until, isAbsent] of this.holes) {
      const left = this.origin + ((from - this.store.first) / this.store.step - 0.5) * this.spacing;
      const right = this.origin + ((until - this.store.first) / this.store.step - 0.5) * this.spacing;
      if (right < 0 || left > width) continue;
      if (isAbsent) {
        context.fillStyle = this.colours.line;
        context.fillRect(left, 0, Math.max(2, right - left), height);
        continue;
      }
      context.save();
      context.beginPath();
      context.rect(left, 0, Math.max(2, right - left), height);
      context.clip();
      context.beginPath();
      for (let x = Math.max(left, 0) - height; x < Math.min(right, width); x += 7) { context.moveTo(x, height); context.lineTo(x + height, 0); }
      context.stroke();
      context.restore();
    }
  }

  // A diamond at the top edge, with a line down to its candle; below the candle are the signals.
  drawRevisions(context, { width }) {
    context.strokeStyle = this.colours.late;
    context.fillStyle = this.colours.late;
    context.lineWidth = 1;
    for (const row of this.revised) {
      const x = this.origin + ((row.time - this.store.first) / this.store.step) * this.spacing;
      if (x < 0 || x > width) continue;
      context.beginPath();
      context.moveTo(x, 3);
      for (const [right, down] of [[5, 8], [0, 13], [-5, 8]]) context.lineTo(x + right, down);
      context.closePath();
      context.fill();
      context.beginPath();
      context.setLineDash([1, 3]);
      context.moveTo(x, 15);
      context.lineTo(x, this.y(row.high) - 3);
      context.stroke();
      context.setLineDash([]);
    }
  }

  drawForecast(context, forecast, width, strength) {
    const { accent, ink } = this.colours;
    const start = { x: this.x(forecast.time), y: this.y(forecast.price) };
    const ends = forecast.horizons.map((row) => ({ ...row, x: this.x(forecast.time + row.horizon * CANDLE_SECONDS) }));
    if (start.y === null || ends.at(-1).x < 0 || start.x > width) return;
    for (const side of ["high", "low"]) {
      for (const [lower, upper, alpha] of BANDS) {
        context.beginPath();
        context.moveTo(start.x, start.y);
        for (const end of ends) context.lineTo(end.x, this.y(end[side][upper]));
        for (const end of [...ends].reverse()) context.lineTo(end.x, this.y(end[side][lower]));
        context.closePath();
        context.fillStyle = faded(accent, alpha * strength);
        context.fill();
      }
      context.beginPath();
      context.moveTo(start.x, start.y);
      for (const end of ends) context.lineTo(end.x, this.y(end[side][MEDIAN]));
      context.strokeStyle = faded(accent, strength);
      context.lineWidth = 2;
      context.stroke();
      context.fillStyle = faded(accent, strength);
      for (const end of ends) { context.beginPath(); context.arc(end.x, this.y(end[side][MEDIAN]), 3, 0, 2 * Math.PI); context.fill(); }
    }
    this.drawWhatCame(context, forecast, ends, ink);
    this.label(context, ends, width);
  }

  // The highest high and lowest low since the forecast, candle by candle, and the scored ends of each horizon.
  drawWhatCame(context, forecast, ends, ink) {
    const came = this.store.extremes(forecast.time, forecast.time + ends.at(-1).horizon * CANDLE_SECONDS);
    for (const side of ["high", "low"]) {
      context.beginPath();
      came.forEach((point, i) => {
        const x = this.origin + ((point.time - this.store.first) / this.store.step) * this.spacing;
        if (i) context.lineTo(x, this.y(point[side])); else context.moveTo(x, this.y(point[side]));
      });
      context.strokeStyle = ink;
      context.lineWidth = 1.5;
      context.setLineDash([2, 3]);
      context.stroke();
      context.setLineDash([]);
      for (const end of ends) {
        const actual = end[`actual_${side}`];
        if (actual === null) continue;
        const held = actual >= end[side][1] && actual <= end[side][5];
        context.fillStyle = ink;
        context.font = "600 12px Inter, system-ui, sans-serif";
        context.textAlign = "center";
        context.fillText(held ? "✓" : "✕", end.x, this.y(actual) + (side === "high" ? -5 : 13));
      }
    }
  }

  label(context, ends, width) {
    context.font = "12px Inter, system-ui, sans-serif";
    context.fillStyle = this.colours.ink_3;
    context.textAlign = "center";
    let free = -Infinity;
    for (const end of ends) {
      if (end.x - free < 44) continue;
      const text = this.words(end.horizon);
      // Keep the last label inside a narrow chart.
      const inside = Math.min(end.x, width - context.measureText(text).width / 2 - 2);
      context.fillText(text, inside, this.y(end.high[6]) - 16);
      free = end.x;
    }
  }

  // All forecasts of one horizon, each at the end of the stretch it was made for: [time, h10, h50, h90, l10, l50, l90, high, low].
  drawPast(context, width) {
    const { accent, ink } = this.colours;
    for (const run of this.runs(width)) {
      this.band(context, run, H90, H10, faded(accent, 0.2));
      this.band(context, run, L90, L10, faded(accent, 0.2));
      this.line(context, run, H50, accent, 1, []);
      this.line(context, run, L50, accent, 1, []);
      this.line(context, run, HIGH, faded(ink, 0.75), 1.2, [2, 3]);
      this.line(context, run, LOW, faded(ink, 0.75), 1.2, [2, 3]);
    }
  }

  // Runs of consecutive candles: no line crosses a candle without a forecast.
  runs(width) {
    const found = [];
    let run = [];
    let before = null;
    for (const row of this.past) {
      const x = this.x(row[0] + this.pastHorizon * CANDLE_SECONDS);
      const isOut = x < -40 || x > width + 40;
      if (run.length && (isOut || row[0] !== before + CANDLE_SECONDS)) { found.push(run); run = []; }
      if (!isOut) run.push({ x, row });
      before = row[0];
    }
    if (run.length) found.push(run);
    return found;
  }

  band(context, run, top, bottom, fill) {
    if (run.length < 2) return;
    context.beginPath();
    run.forEach(({ x, row }, i) => (i ? context.lineTo(x, this.y(row[top])) : context.moveTo(x, this.y(row[top]))));
    for (let i = run.length - 1; i >= 0; i -= 1) context.lineTo(run[i].x, this.y(run[i].row[bottom]));
    context.closePath();
    context.fillStyle = fill;
    context.fill();
  }

  line(context, run, column, colour, width, dash) {
    context.beginPath();
    let open = false;
    for (const { x, row } of run) {
      if (row[column] === null) { open = false; continue; }
      const y = this.y(row[column]);
      if (open) context.lineTo(x, y); else context.moveTo(x, y);
      open = true;
    }
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.stroke();
    context.setLineDash([]);
  }
}

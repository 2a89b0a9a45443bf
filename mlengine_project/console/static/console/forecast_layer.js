// Chart layer with forecasts: the fan after the newest candle, and past predictions of one horizon
// with the actual high and low. The chart library has no bands.
import { faded } from "./colours.js";

const H10 = 1, H50 = 2, H90 = 3, L10 = 4, L50 = 5, L90 = 6, HIGH = 7, LOW = 8;

export class ForecastLayer {
  constructor() {
    this.past = [];
    this.fan = [];
    this.indexOf = new Map();
    this.showPast = true;
    this.colours = null;
    this.view = { zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.draw(target) }) };
    this.views = [this.view];
  }

  attached({ chart, series, requestUpdate }) {
    this.chart = chart;
    this.series = series;
    this.requestUpdate = requestUpdate;
  }

  paneViews() { return this.views; }

  // rows: [time, h10, h50, h90, l10, l50, l90, high, low] as numbers; fan: {index, price, horizons: [{horizon, high, low}]}
  show({ past, fan, indexOf, colours }) {
    if (colours) this.colours = colours;
    if (indexOf) this.indexOf = indexOf;
    if (past) this.past = past;
    if (fan) this.fan = fan;
    this.requestUpdate?.();
  }

  autoscaleInfo(from, to) {
    if (!this.fan.points || to < this.fan.index) return null;
    const reached = this.fan.points.filter((point) => point.index <= to + 1);
    if (!reached.length) return null;
    return { priceRange: { minValue: Math.min(...reached.map((p) => p.low[0])), maxValue: Math.max(...reached.map((p) => p.high[2])) } };
  }

  draw(target) {
    if (!this.chart || !this.colours) return;
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      context.save();
      context.lineJoin = "round";
      if (this.showPast) this.drawPast(context, mediaSize.width);
      this.drawFan(context, mediaSize.width);
      context.restore();
    });
  }

  x(index) { return this.chart.timeScale().logicalToCoordinate(index); }
  y(price) { return this.series.priceToCoordinate(price); }

  // Runs of consecutive candles: no line crosses a candle without a prediction.
  runs(width) {
    const found = [];
    let run = [];
    let before = null;
    for (const row of this.past) {
      const index = this.indexOf.get(row[0]);
      const x = index === undefined ? null : this.x(index);
      if (x === null || x < -40 || x > width + 40) { before = null; if (run.length) found.push(run); run = []; continue; }
      if (before !== null && index !== before + 1) { found.push(run); run = []; }
      run.push({ x, row });
      before = index;
    }
    if (run.length) found.push(run);
    return found;
  }

  drawPast(context, width) {
    const { accent: core, ink } = this.colours;
    for (const run of this.runs(width)) {
      this.band(context, run, H90, H10, faded(core, 0.2));
      this.band(context, run, L90, L10, faded(core, 0.2));
      this.line(context, run, H50, core, 1, []);
      this.line(context, run, L50, core, 1, []);
      this.line(context, run, HIGH, faded(ink, 0.75), 1.2, [2, 3]);
      this.line(context, run, LOW, faded(ink, 0.75), 1.2, [2, 3]);
    }
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

  drawFan(context, width) {
    const { fan } = this;
    if (!fan.points?.length) return;
    const start = { x: this.x(fan.index), y: this.y(fan.price) };
    if (start.x === null || start.y === null) return;
    for (const side of ["high", "low"]) {
      const at = (level) => fan.points.map((point) => ({ x: this.x(point.index), y: this.y(point[side][level]) }));
      const [near, middle, far] = [at(0), at(1), at(2)];
      context.beginPath();
      context.moveTo(start.x, start.y);
      for (const point of far) context.lineTo(point.x, point.y);
      for (const point of near.reverse()) context.lineTo(point.x, point.y);
      context.closePath();
      context.fillStyle = faded(this.colours.accent, 0.28);
      context.fill();
      context.beginPath();
      context.moveTo(start.x, start.y);
      for (const point of middle) context.lineTo(point.x, point.y);
      context.strokeStyle = this.colours.accent;
      context.lineWidth = 2;
      context.stroke();
      context.fillStyle = this.colours.accent;
      for (const point of middle) { context.beginPath(); context.arc(point.x, point.y, 3, 0, 2 * Math.PI); context.fill(); }
    }
    this.labelFan(context, width);
  }

  labelFan(context, width) {
    context.font = "11px Inter, system-ui, sans-serif";
    context.fillStyle = this.colours.ink_3;
    context.textAlign = "center";
    let free = -Infinity;
    for (const point of this.fan.points) {
      const x = this.x(point.index);
      if (x - free < 40) continue;
      // Keep the last label inside a narrow chart.
      const inside = Math.min(x, width - context.measureText(point.words).width / 2 - 2);
      context.fillText(point.words, inside, this.y(point.high[2]) - 6);
      free = x;
    }
  }
}

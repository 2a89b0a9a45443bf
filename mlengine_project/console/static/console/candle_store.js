// Candles of one interval on a regular time axis; a missing candle is an empty place, so that holes are visible.
export const CANDLE_SECONDS = 300;

export class CandleStore {
  constructor(step) {
    this.step = step;
    this.byTime = new Map();
    this.first = 0;
    this.last = 0;
    this.absences = [];
  }

  get size() { return this.byTime.size; }

  // Number of places from the first candle to the last one, holes included.
  get length() { return this.size ? (this.last - this.first) / this.step + 1 : 0; }

  // rows: [time, open, high, low, close, volume, missing]
  put(rows) {
    for (const [time, open, high, low, close, volume, missing] of rows) {
      this.byTime.set(time, { time, open: Number(open), high: Number(high), low: Number(low), close: Number(close), volume: Number(volume), missing });
      if (this.size === 1 || time < this.first) this.first = time;
      if (this.size === 1 || time > this.last) this.last = time;
    }
  }

  newest() { return this.byTime.get(this.last); }

  // Candles and empty places, oldest first, with `ahead` empty places after the newest.
  points(ahead = 0) {
    const found = [];
    for (let time = this.first; time <= this.last; time += this.step) found.push(this.byTime.get(time) ?? { time });
    for (let i = 1; i <= ahead; i += 1) found.push({ time: this.last + i * this.step });
    return found;
  }

  // Whether the exchange itself lacks the whole candle; else a candle that is not stored is missing only here.
  isAbsent(time) { return this.absences.some(([start, end]) => start <= time && time + this.step <= end); }

  // Stretches without candles as [first time, time after the last one, absent at the exchange].
  holes() {
    const found = [];
    for (let time = this.first; time <= this.last; time += this.step) {
      if (this.byTime.has(time)) continue;
      const isAbsent = this.isAbsent(time);
      const before = found.at(-1);
      if (before?.[1] === time && before[2] === isAbsent) before[1] = time + this.step;
      else found.push([time, time + this.step, isAbsent]);
    }
    return found;
  }

  // Place of a five-minute candle among the candles of this interval, with its fraction.
  placeOf(time) {
    return (time + CANDLE_SECONDS / 2 - this.step / 2 - this.first) / this.step;
  }

  timeAt(place) {
    return Math.round((place * this.step + this.first + this.step / 2 - CANDLE_SECONDS / 2) / CANDLE_SECONDS) * CANDLE_SECONDS;
  }

  // Highest high and lowest low so far at each candle after `time` and up to `until`.
  extremes(time, until) {
    const found = [];
    let [high, low] = [-Infinity, Infinity];
    for (let at = time + this.step - ((time - this.first) % this.step); at <= Math.min(until, this.last); at += this.step) {
      const row = this.byTime.get(at);
      if (!row) continue;
      high = Math.max(high, row.high);
      low = Math.min(low, row.low);
      found.push({ time: at, high, low });
    }
    return found;
  }
}

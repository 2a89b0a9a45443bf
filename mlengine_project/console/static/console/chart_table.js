// The figures of the chart as tables: the shown forecast and the visible candles.
import { gettext } from "./words.js";

const MAX_ROWS = 300;

function table(heads, rows) {
  const made = document.createElement("table");
  made.className = "list";
  const head = made.createTHead().insertRow();
  heads.forEach((text, i) => {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = text;
    if (i) cell.className = "num";
    head.append(cell);
  });
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((text, i) => {
      const cell = line.insertCell();
      cell.textContent = text;
      if (i) cell.className = "num";
    });
  }
  return made;
}

export function forecastTable(forecast, digits, span) {
  const range = (low, high) => `${digits(low)} – ${digits(high)}`;
  const heads = [gettext("Next"), gettext("Low, median"), gettext("Low, 80 % band"), gettext("High, median"), gettext("High, 80 % band"), gettext("What came")];
  return table(heads, forecast.horizons.map((row) => [
    span(row.horizon), digits(row.low[3]), range(row.low[1], row.low[5]), digits(row.high[3]), range(row.high[1], row.high[5]),
    row.actual_high === null ? "–" : range(row.actual_low, row.actual_high),
  ]));
}

export function candleTable(candles, digits, stamp, remark) {
  const heads = [gettext("Candle"), gettext("Open"), gettext("High"), gettext("Low"), gettext("Close"), gettext("Volume"), gettext("Remark")];
  return table(heads, candles.slice(-MAX_ROWS).reverse().map((row) => (row.close === undefined
    ? [stamp(row.time), "–", "–", "–", "–", "–", remark(row)]
    : [stamp(row.time), digits(row.open), digits(row.high), digits(row.low), digits(row.close), row.volume.toLocaleString("en-US"), remark(row)])));
}

// Market time in the browser: the server's time, advanced at its rate, independent of the local clock.
const { marketMs, rate } = document.body.dataset;
let anchor = { market: Number(marketMs), rate: Number(rate) || 1, at: performance.now() };

export function marketNow() {
  return anchor.market + (performance.now() - anchor.at) * anchor.rate;
}

// Every fragment has the market time in its headers.
export function correctBy(answer) {
  const market = Number(answer.headers.get("X-Market-Ms") ?? NaN);
  const pace = Number(answer.headers.get("X-Market-Rate") ?? NaN);
  if (Number.isFinite(market)) anchor = { market, rate: pace > 0 ? pace : anchor.rate, at: performance.now() };
}

export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

// Market time in the browser: the server's time, advanced at its rate, independent of the local clock.
const { marketMs, rate } = document.body.dataset;
let anchor = mark(Number(marketMs), Number(rate) || 1);

function mark(market, pace) {
  return { market, rate: pace, steady: performance.now(), wall: Date.now() };
}

// The steady clock stops while a computer sleeps; the wall clock does not, but may be set back.
function elapsed() {
  return Math.max(performance.now() - anchor.steady, Date.now() - anchor.wall);
}

export function marketNow() {
  return anchor.market + elapsed() * anchor.rate;
}

// Every fragment has the market time in its headers.
export function correctBy(answer) {
  const market = Number(answer.headers.get("X-Market-Ms") ?? NaN);
  const pace = Number(answer.headers.get("X-Market-Rate") ?? NaN);
  if (Number.isFinite(market)) anchor = mark(market, pace > 0 ? pace : anchor.rate);
}

export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function shortAge(seconds) {
  const minutes = Math.floor(Math.max(0, seconds) / 60);
  if (minutes < 1) return `${Math.floor(Math.max(0, seconds))} s`;
  if (minutes < 60) return `${minutes} min`;
  return minutes < 1440 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 1440)} d`;
}

export function countdown(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

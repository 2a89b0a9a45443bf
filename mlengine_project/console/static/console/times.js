// Times of a page in UTC or in local time, as the user prefers.
let isLocal = false;
try { isLocal = localStorage.getItem("times") === "local"; } catch { /* then UTC */ }

export function showsLocal() { return isLocal; }

// Formats are made once: making one takes longer than hundreds of uses.
const formats = new Map();
function format(locale, options) {
  const key = `${locale} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(locale, options));
  return formats.get(key);
}

export function zoneWord() {
  if (!isLocal) return "UTC";
  const parts = format(undefined, { timeZoneName: "short" }).formatToParts(Date.now());
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "";
}

// `seconds` and `date` say which parts are written beside hours and minutes.
export function clockText(ms, { seconds = false, date = false } = {}) {
  const zone = isLocal ? {} : { timeZone: "UTC" };
  const time = format("en-GB", { hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}), ...zone }).format(ms);
  if (!date) return time;
  const language = document.documentElement.lang === "es" ? "es" : "en-GB";
  return `${format(language, { day: "2-digit", month: "short", ...zone }).format(ms)} ${time}`;
}

export function writeTimes(root = document) {
  for (const place of root.querySelectorAll("time[data-local]")) {
    const moment = Date.parse(place.dateTime);
    place.dataset.utc ??= place.textContent;
    const own = { date: place.dataset.date === "1", seconds: place.dataset.seconds === "1" };
    place.textContent = isLocal ? clockText(moment, own) : place.dataset.utc;
    const wasLocal = isLocal;
    isLocal = !wasLocal;
    place.title = `${clockText(moment, { date: true, seconds: true })} ${zoneWord()}`;
    isLocal = wasLocal;
  }
}

export function switchZone() {
  isLocal = !isLocal;
  try { localStorage.setItem("times", isLocal ? "local" : "utc"); } catch { /* kept for this page only */ }
  writeTimes();
  document.dispatchEvent(new CustomEvent("zone-changed"));
}

// Times of a page in UTC or in local time, as the user prefers.
let isLocal = false;
try { isLocal = localStorage.getItem("times") === "local"; } catch { /* then UTC */ }

export function showsLocal() { return isLocal; }

export function zoneWord() {
  if (!isLocal) return "UTC";
  const parts = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" }).formatToParts(new Date());
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "";
}

// `seconds` and `date` say which parts are written beside hours and minutes.
export function clockText(ms, { seconds = false, date = false } = {}) {
  const moment = new Date(ms);
  const zone = isLocal ? {} : { timeZone: "UTC" };
  const time = moment.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}), ...zone });
  if (!date) return time;
  return `${moment.toLocaleDateString(document.documentElement.lang === "es" ? "es" : "en-GB", { day: "2-digit", month: "short", ...zone })} ${time}`;
}

export function writeTimes(root = document) {
  for (const place of root.querySelectorAll("time[data-local]")) {
    const moment = new Date(place.dateTime);
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

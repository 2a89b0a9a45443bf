// Script of every page: clock, ages, local-time hints, theme button and notices.
import { age, correctBy, marketNow } from "./market_clock.js";

const clock = document.getElementById("market-clock");
const toggle = document.getElementById("theme-toggle");

function tick() {
  const now = marketNow();
  if (clock) clock.textContent = new Date(now).toISOString().slice(11, 19) + " UTC";
  for (const label of document.querySelectorAll("[data-since]")) {
    const text = `closed ${age((now - Number(label.dataset.since)) / 1000)} ago`;
    if (label.textContent !== text) label.textContent = text;
  }
}

export function hintLocalTimes(root = document) {
  for (const time of root.querySelectorAll("time[data-local]:not([title])")) {
    const moment = new Date(time.dateTime);
    time.title = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) + " local time";
  }
}

export async function refreshNotices() {
  const place = document.getElementById("notices");
  try {
    const answer = await fetch("/console/notices", { credentials: "same-origin" });
    if (!answer.ok) return;
    correctBy(answer);
    const written = await answer.text();
    if (place.dataset.written !== written) {
      place.innerHTML = written;
      place.dataset.written = written;
    }
  } catch { /* shown by the connection label */ }
}

// Scores are computed at most once a minute and loaded after the page.
async function loadRecord(place) {
  try {
    const answer = await fetch(place.dataset.load, { credentials: "same-origin" });
    if (answer.ok) place.innerHTML = await answer.text();
  } catch { /* tried again after a minute */ }
}

toggle?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* then the choice is kept for this page only */ }
  document.dispatchEvent(new CustomEvent("theme-changed"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new CustomEvent("theme-changed")));

tick();
setInterval(tick, 1000);
hintLocalTimes();
const record = document.getElementById("record");
if (record) {
  loadRecord(record);
  setInterval(() => { if (!document.hidden) loadRecord(record); }, 60000);
}
if (document.querySelector(".sign-out")) setInterval(() => { if (!document.hidden) refreshNotices(); }, 5000);

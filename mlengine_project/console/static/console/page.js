// Script of every page: clocks, states, theme button and notices.
import { correctBy, marketNow } from "./market_clock.js";
import { answered, turnPanels, unanswered } from "./page_state.js";
import { clockText, switchZone, writeTimes, zoneWord } from "./times.js";

const NOTICES_MS = 5000;
const RECORD_MS = 60000;
const clock = document.getElementById("market-clock");
const wallClock = document.getElementById("wall-clock");
const toggle = document.getElementById("theme-toggle");
const notices = document.getElementById("notices");
const isSignedIn = document.querySelector(".sign-out") !== null;

// Draws everything in a theme, charts too; without one, in that of the system.
function showTheme(theme) {
  const root = document.documentElement;
  if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
  document.dispatchEvent(new CustomEvent("theme-changed"));
}

function tick() {
  const zone = zoneWord();
  if (clock) clock.querySelector(".clock-time").textContent = `${clockText(marketNow(), { seconds: true })} ${zone}`;
  if (wallClock) wallClock.querySelector(".clock-time").textContent = `${clockText(Date.now(), { seconds: true })} ${zone}`;
  turnPanels();
}

// An answer of the engine; the page knows from it the market's time and that the engine can be reached.
export async function ask(address) {
  let answer;
  try { answer = await fetch(address, { credentials: "same-origin" }); } catch (error) { unanswered(); throw error; }
  if (answer.status === 401) { location.reload(); throw new Error("signed out"); }
  answered();
  correctBy(answer);
  return answer;
}

async function refreshNotices() {
  try {
    const answer = await ask(notices.dataset.refresh);
    if (!answer.ok) return;
    const written = await answer.text();
    if (notices.dataset.written !== written) {
      notices.innerHTML = written;
      notices.dataset.written = written;
    }
  } catch { /* shown by the line of state */ }
}

// Scores are computed at most once a minute and loaded after the page.
async function loadRecord(place) {
  try {
    const answer = await ask(place.dataset.load);
    if (answer.ok) place.innerHTML = await answer.text();
  } catch { /* tried again after a minute */ }
}

toggle?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  showTheme(dark ? "light" : "dark");
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* then the choice is kept for this page only */ }
});
let themeOfScreen;
addEventListener("beforeprint", () => { themeOfScreen = document.documentElement.dataset.theme; showTheme("light"); });
addEventListener("afterprint", () => showTheme(themeOfScreen));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new CustomEvent("theme-changed")));
clock?.addEventListener("click", () => { switchZone(); tick(); });

tick();
setInterval(tick, 1000);
writeTimes();
const record = document.getElementById("record");
if (record?.dataset.load) {
  loadRecord(record);
  setInterval(() => { if (!document.hidden) loadRecord(record); }, RECORD_MS);
}
if (isSignedIn) {
  setInterval(() => { if (!document.hidden) refreshNotices(); }, NOTICES_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refreshNotices(); });
}

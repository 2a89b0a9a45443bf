// State of every panel (live, late, expired, disconnected), from the market clock and the last contact alone.
import { age, countdown, marketNow, shortAge } from "./market_clock.js";
import { clockText, zoneWord } from "./times.js";
import { fill, gettext } from "./words.js";

const CANDLE_MS = 300000;
const LATE_AFTER_MS = CANDLE_MS + 15000;
const SILENCE_MS = 20000;

let socketIsOpen = false;
let answeredAt = performance.now();
let failed = false;

// Called with every successful answer, and when the websocket opens or closes.
export function answered() { answeredAt = performance.now(); failed = false; }
export function unanswered() { failed = true; }
export function socketOpen(open) { socketIsOpen = open; }

export function isConnected() {
  // A failed request shortens the wait: the page has tried, and got no answer.
  return socketIsOpen || performance.now() - answeredAt < (failed ? SILENCE_MS / 2 : SILENCE_MS);
}

function number(text) { return text ? Number(text) : NaN; }

// A panel has the close of its newest candle, or the instant until which it is valid.
export function stateOf(panel, now) {
  const closed = number(panel.dataset.closedMs);
  const valid = number(panel.dataset.validMs);
  if (!isConnected()) return "disconnected";
  if (panel.dataset.closedMs === "") return "waiting";
  if (Number.isFinite(closed)) return now - closed > LATE_AFTER_MS ? "late" : "live";
  return now > valid ? "expired" : "live";
}

function words(panel, state, now) {
  const closed = number(panel.dataset.closedMs);
  const valid = number(panel.dataset.validMs);
  if (state === "waiting") return gettext("no candle yet");
  if (Number.isFinite(closed)) {
    if (state === "late") return fill(gettext("late {age}"), { age: shortAge((now - closed - CANDLE_MS) / 1000) });
    if (state === "disconnected") return fill(gettext("disconnected, as of {time}"), { time: `${clockText(closed)} ${zoneWord()}` });
    return fill(gettext("closed {age} ago"), { age: age((now - closed) / 1000) });
  }
  if (now > valid) return fill(gettext("expired {age} ago"), { age: age((now - valid) / 1000) });
  return fill(gettext("valid for {time}"), { time: countdown((valid - now) / 1000) });
}

function write(place, text) {
  if (place && place.textContent !== text) place.textContent = text;
}

// Cards whose content the browser does not draw, since they are out of view.
const undrawn = new WeakSet();
// The page may have been drawn before this module ran; later changes are announced.
for (const card of document.querySelectorAll(".board .card")) {
  if (!card.firstElementChild.checkVisibility({ contentVisibilityAuto: true })) undrawn.add(card);
}
document.addEventListener("contentvisibilityautostatechange", ({ target, skipped }) => {
  if (skipped) undrawn.add(target); else { undrawn.delete(target); turnPanel(target); }
});
export function isDrawn(panel) { return !undrawn.has(panel); }

function turn(panel, now, writes) {
  const state = stateOf(panel, now);
  if (panel.dataset.state !== state) panel.dataset.state = state;
  if (writes) write(panel.querySelector(panel.dataset.closedMs === undefined ? ".validity" : ".age"), words(panel, state, now));
  return state;
}

// Turns a panel with the parts of it that have a validity of their own.
export function turnPanel(panel) {
  const now = marketNow();
  turn(panel, now, true);
  for (const part of panel.querySelectorAll("[data-valid-ms]")) turn(part, now, true);
}

// Turns every panel of the page, and the line of state in the header.
export function turnPanels() {
  const now = marketNow();
  const prices = [...document.querySelectorAll("[data-closed-ms]")];
  const counts = { live: 0, late: 0 };
  for (const panel of prices) counts[turn(panel, now, isDrawn(panel))] += 1;
  let expired = 0;
  for (const panel of document.querySelectorAll("[data-valid-ms]:not([data-closed-ms])")) expired += turn(panel, now, isDrawn(panel.closest(".card"))) === "expired";
  writeHeader(prices, counts, expired, now);
}

function writeHeader(prices, counts, expired, now) {
  const label = document.getElementById("link-state");
  if (!label) return;
  let [state, text] = ["live", gettext("live")];
  if (!isConnected()) [state, text] = ["disconnected", gettext("disconnected")];
  else if (counts.late && counts.live) [state, text] = ["late", fill(gettext("{live} live, {late} late"), counts)];
  else if (counts.late) {
    const newest = Math.max(...prices.map((panel) => number(panel.dataset.closedMs)).filter(Number.isFinite));
    [state, text] = ["late", fill(gettext("late {age}"), { age: shortAge((now - newest - CANDLE_MS) / 1000) })];
  } else if (expired) [state, text] = ["expired", gettext("forecast expired")];
  else if (prices.length > 1 && counts.live) text = fill(gettext("{live} live"), counts);
  else if (!prices.length) [state, text] = ["live", gettext("connected")];
  if (label.dataset.state !== state) label.dataset.state = state;
  write(label.querySelector("span"), text);
  label.title = socketIsOpen ? gettext("Signals arrive as they are issued") : gettext("The page asks every few seconds");
}

// The live board: a signal frame means a candle closed, so its card is fetched anew.
import { follow } from "./live.js";
import { correctBy } from "./market_clock.js";
import { hintLocalTimes } from "./page.js";

const GATHER_MS = 150;
const ALL_ABOVE = 20;
const board = document.getElementById("board");

if (board) {
  const symbols = [...board.querySelectorAll(".card")].map((card) => card.dataset.symbol);
  const waiting = new Set();
  let timer = null;
  let busy = false;

  const replace = (markup) => {
    const fresh = document.createElement("template");
    fresh.innerHTML = markup;
    for (const card of fresh.content.querySelectorAll(".card")) {
      const old = board.querySelector(`.card[data-symbol="${CSS.escape(card.dataset.symbol)}"]`);
      if (!old || old.outerHTML === card.outerHTML) continue;
      const focused = old.contains(document.activeElement);
      const changed = old.querySelector(".price")?.textContent !== card.querySelector(".price")?.textContent;
      old.replaceWith(card);
      if (changed) card.classList.add("fresh");
      if (focused) card.querySelector("h2 a")?.focus({ preventScroll: true });
    }
    hintLocalTimes(board);
  };

  const load = async () => {
    timer = null;
    if (busy) { timer = setTimeout(load, GATHER_MS); return; }
    const wanted = waiting.size > ALL_ABOVE ? [] : [...waiting];
    waiting.clear();
    busy = true;
    try {
      const query = wanted.length ? `?symbols=${encodeURIComponent(wanted.join(","))}` : "";
      const answer = await fetch(board.dataset.refresh + query, { credentials: "same-origin" });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.ok) { correctBy(answer); replace(await answer.text()); }
    } catch { /* the connection label already says so */ } finally { busy = false; }
  };

  const want = (names) => {
    for (const name of names) waiting.add(name);
    timer ??= setTimeout(load, GATHER_MS);
  };

  follow(symbols, {
    onSignal: (symbol, signal) => {
      want([symbol]);
      if (signal.signal_type !== "hold") {
        document.getElementById("announcer").textContent = `${symbol}: ${signal.signal_type}`;
      }
    },
    onRefresh: () => want(symbols),
  });

  // While models train no signal may come at all, yet the progress on the cards must move.
  setInterval(() => { if (!document.hidden && board.querySelector(".waiting")) want(symbols); }, 5000);
}

// The live board: a signal frame means a closed candle, so the card of its market is fetched again.
import { follow } from "./live.js";
import { correctBy } from "./market_clock.js";
import { hintLocalTimes } from "./page.js";

const GATHER_MS = 150;
const FETCH_ALL_ABOVE = 20;
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
    const requested = waiting.size > FETCH_ALL_ABOVE ? [] : [...waiting];
    waiting.clear();
    busy = true;
    try {
      const query = requested.length ? `?symbols=${encodeURIComponent(requested.join(","))}` : "";
      const answer = await fetch(board.dataset.refresh + query, { credentials: "same-origin" });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.ok) { correctBy(answer); replace(await answer.text()); }
    } catch { /* shown by the connection label */ } finally { busy = false; }
  };

  const requestUpdate = (names) => {
    for (const name of names) waiting.add(name);
    timer ??= setTimeout(load, GATHER_MS);
  };

  follow(symbols, {
    onSignal: (symbol, signal) => {
      requestUpdate([symbol]);
      if (signal.signal_type !== "hold") {
        document.getElementById("announcer").textContent = `${symbol}: ${signal.signal_type}`;
      }
    },
    onRefresh: () => requestUpdate(symbols),
  });

  // While models train there may be no signal, but the progress on the cards must be updated.
  setInterval(() => { if (!document.hidden && board.querySelector(".waiting")) requestUpdate(symbols); }, 5000);
}

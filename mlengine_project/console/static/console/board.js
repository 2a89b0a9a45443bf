// The live board: a signal frame means a closed candle, so the card of its market is fetched again.
import { follow } from "./live.js";
import { ask } from "./page.js";
import { isDrawn, turnPanel, turnPanels } from "./page_state.js";
import { writeTimes } from "./times.js";
import { fill, gettext } from "./words.js";

const GATHER_MS = 150;
const CARDS_A_REQUEST = 50;
const CARDS_A_FRAME = 10;
const ANNOUNCED_BY_NAME = 3;
const MOVE = 0.03;
const board = document.getElementById("board");

if (board) {
  const search = document.getElementById("board-search");
  const sorting = document.getElementById("board-sort");
  const nothing = document.getElementById("nothing-found");
  const cards = new Map([...board.querySelectorAll(".card")].map((card) => [card.dataset.symbol, card]));
  const waiting = new Set();
  let timer = null;
  let busy = false;

  // --- search, filter, sort, layout ---
  const remembered = (name, otherwise) => { try { return localStorage.getItem(`board-${name}`) ?? otherwise; } catch { return otherwise; } };
  const remember = (name, value) => { try { localStorage.setItem(`board-${name}`, value); } catch { /* kept for this page only */ } };
  const number = (text) => (text ? Number(text) : -Infinity);
  const FILTERS = {
    all: () => true,
    signal: ({ dataset }) => dataset.signal === "buy" || dataset.signal === "sell",
    refusal: ({ dataset }) => dataset.signal === "hold",
    stale: ({ dataset }) => dataset.state !== "live" && dataset.state !== "loading",
    mover: ({ dataset }) => dataset.change && Math.abs(Number(dataset.change)) >= MOVE,
  };
  const ORDERS = {
    name: (a, b) => (a.dataset.symbol < b.dataset.symbol ? -1 : 1),
    expected: (a, b) => number(b.dataset.expected) - number(a.dataset.expected),
    age: (a, b) => number(a.dataset.closedMs) - number(b.dataset.closedMs),
    width: (a, b) => number(b.dataset.width) - number(a.dataset.width),
  };
  const chosenFilter = () => document.querySelector('input[name="filter"]:checked').value;

  const select = () => {
    const wanted = search.value.trim().toUpperCase();
    const fits = FILTERS[chosenFilter()];
    const counts = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, 0]));
    let shown = 0;
    for (const card of cards.values()) {
      for (const name in FILTERS) if (FILTERS[name](card)) counts[name] += 1;
      const hide = !(fits(card) && card.dataset.symbol.includes(wanted));
      if (card.hidden !== hide) card.hidden = hide;
      if (!hide) shown += 1;
    }
    for (const place of document.querySelectorAll("[data-count]")) {
      const count = String(counts[place.dataset.count]);
      if (place.textContent !== count) place.textContent = count;
    }
    nothing.hidden = shown > 0;
  };

  const sort = () => {
    const order = ORDERS[sorting.value];
    const sorted = [...cards.values()].sort((a, b) => order(a, b) || ORDERS.name(a, b));
    const focused = document.activeElement;
    let place = board.firstElementChild;
    for (const card of sorted) {
      if (card === place) place = place.nextElementSibling; else board.insertBefore(card, place);
    }
    if (board.contains(focused)) focused.focus({ preventScroll: true });
  };

  const layout = (view) => {
    board.dataset.view = view;
    // Rows come without the parts they hide; the markets beyond the first come with their names only.
    const lacks = ({ dataset }) => dataset.state === "loading" || (view === "cards" && dataset.whole === undefined);
    requestUpdate([...cards.values()].filter(lacks).map((card) => card.dataset.symbol));
    document.querySelector(`input[name="view"][value="${view}"]`).checked = true;
  };

  sorting.value = remembered("sort", "name");
  if (!sorting.value) sorting.value = "name";
  layout(remembered("view", board.dataset.view) === "rows" ? "rows" : "cards");
  search.addEventListener("input", select);
  sorting.addEventListener("change", () => { remember("sort", sorting.value); sort(); });
  for (const choice of document.querySelectorAll('input[name="filter"]')) choice.addEventListener("change", select);
  for (const choice of document.querySelectorAll('input[name="view"]')) {
    choice.addEventListener("change", () => { remember("view", choice.value); layout(choice.value); });
  }
  document.getElementById("show-all").addEventListener("click", () => {
    search.value = "";
    document.querySelector('input[name="filter"][value="all"]').checked = true;
    select();
    search.focus();
  });
  // "/" leads to the search from anywhere, the arrow keys from market to market.
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { event.preventDefault(); search.focus(); }
    const card = event.target.closest?.(".card");
    if (!card || !["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    const shown = [...board.children].filter((other) => !other.hidden);
    const next = shown[shown.indexOf(card) + (event.key === "ArrowDown" || event.key === "ArrowRight" ? 1 : -1)];
    next?.querySelector("h2 a").focus();
  });

  // --- updates ---
  // The element of the card stays: the browser keeps its size, and does not lay out what is out of view.
  const renew = (fresh) => {
    const card = cards.get(fresh.dataset.symbol);
    if (!card) return;
    const focused = card.contains(document.activeElement);
    const changed = card.querySelector(".price")?.textContent !== fresh.querySelector(".price")?.textContent;
    for (const name in card.dataset) if (!(name in fresh.dataset)) delete card.dataset[name];
    card.removeAttribute("aria-busy");
    for (const { name, value } of fresh.attributes) if (name !== "class" && card.getAttribute(name) !== value) card.setAttribute(name, value);
    card.replaceChildren(...fresh.childNodes);
    if (changed && isDrawn(card)) card.classList.add("fresh");
    if (focused) card.querySelector("h2 a")?.focus({ preventScroll: true });
    writeTimes(card);
    turnPanel(card);
  };
  board.addEventListener("animationend", ({ target }) => target.classList.remove("fresh"));

  // A page that is out of sight has no frames.
  const frame = () => new Promise((next) => { if (document.hidden) setTimeout(next); else requestAnimationFrame(next); });

  // A few cards a frame, so that five hundred do not block the page.
  const replace = async (markup) => {
    const template = document.createElement("template");
    template.innerHTML = markup;
    const arrived = [...template.content.querySelectorAll(".card")];
    for (let start = 0; start < arrived.length; start += CARDS_A_FRAME) {
      await frame();
      arrived.slice(start, start + CARDS_A_FRAME).forEach(renew);
    }
    sort();
    select();
  };

  async function load() {
    timer = null;
    if (busy) { timer = setTimeout(load, GATHER_MS); return; }
    const requested = [...waiting].slice(0, CARDS_A_REQUEST);
    for (const symbol of requested) waiting.delete(symbol);
    busy = true;
    try {
      const answer = await ask(`${board.dataset.refresh}?view=${board.dataset.view}&symbols=${encodeURIComponent(requested.join(","))}`);
      if (answer.ok) await replace(await answer.text());
    } catch { /* shown by the line of state */ } finally { busy = false; }
    if (waiting.size) timer ??= setTimeout(load);
  }

  function requestUpdate(names) {
    for (const name of names) waiting.add(name);
    if (waiting.size) timer ??= setTimeout(load, GATHER_MS);
  }

  let announced = [];
  function announce(text) {
    announced.push(text);
    if (announced.length > 1) return;
    setTimeout(() => {
      const isLong = announced.length > ANNOUNCED_BY_NAME;
      document.getElementById("announcer").textContent = isLong ? fill(gettext("{count} new signals to buy or sell"), { count: announced.length }) : announced.join(", ");
      announced = [];
    }, GATHER_MS);
  }

  const symbols = [...cards.keys()];
  follow(symbols, {
    onSignal: (symbol, signal) => {
      requestUpdate([symbol]);
      const isShown = cards.get(symbol)?.dataset.state !== "loading";
      if (isShown && signal.signal_type !== "hold") announce(`${symbol}: ${signal.signal_type}`);
    },
    onRefresh: () => requestUpdate(symbols),
    shownSeq: (symbol) => Number(cards.get(symbol)?.dataset.seq || 0),
  });

  sort();
  turnPanels();
  select();
  // Late and expired markets change the counts without any message.
  setInterval(select, 5000);
  // While models train there may be no signal, but the progress on the cards must be updated.
  setInterval(() => { if (!document.hidden && board.querySelector(".waiting")) requestUpdate(symbols); }, 5000);
}

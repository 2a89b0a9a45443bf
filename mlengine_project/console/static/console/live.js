// Websocket of the console: subscribes, keeps the last seq of each symbol, and reconnects after a drop.
// While it is disconnected the page polls, so that it is not outdated without notice.
import { socketOpen } from "./page_state.js";

const WATCHDOG_MS = 60000;
const MAX_RETRY_MS = 20000;
const POLL_MS = 15000;

export function follow(symbols, { onSignal, onRefresh }) {
  const last = new Map();
  let socket = null;
  let attempt = 0;
  let watchdog = null;
  let poller = null;

  const poll = (on) => {
    if (on && !poller) poller = setInterval(onRefresh, POLL_MS);
    if (!on && poller) { clearInterval(poller); poller = null; }
  };

  const restartWatchdog = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => socket?.close(), WATCHDOG_MS);
  };

  const retry = () => {
    clearTimeout(watchdog);
    poll(true);
    attempt += 1;
    setTimeout(connect, Math.min(MAX_RETRY_MS, 500 * 2 ** attempt) * (0.6 + 0.4 * Math.random()));
  };

  const receive = (frame) => {
    switch (frame.type) {
      case "authenticated": {
        const after = Object.fromEntries(last);
        const fresh = symbols.filter((symbol) => !last.has(symbol));
        if (fresh.length) socket.send(JSON.stringify({ type: "subscribe", symbols: fresh }));
        if (last.size) socket.send(JSON.stringify({ type: "subscribe", symbols: [...last.keys()], after }));
        break;
      }
      case "subscribed":
        attempt = 0;
        poll(false);
        socketOpen(true);
        for (const [symbol, head] of Object.entries(frame.seq ?? {})) if (!last.has(symbol)) last.set(symbol, head);
        break;
      case "signal":
        if (frame.seq > (last.get(frame.symbol) ?? -1)) {
          last.set(frame.symbol, frame.seq);
          onSignal(frame.symbol, frame.signal);
        }
        break;
      case "error":
        // Signals that cannot be replayed are read by a refresh of the page's fragments.
        if (frame.error === "ReplayUnavailable" || frame.error === "AheadOfHead") {
          last.delete(frame.symbol);
          socket.send(JSON.stringify({ type: "subscribe", symbols: [frame.symbol] }));
          onRefresh();
        }
        break;
      default:
    }
  };

  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}/ws/signals`);
    socket.onopen = restartWatchdog;
    socket.onmessage = (message) => {
      restartWatchdog();
      receive(JSON.parse(message.data));
    };
    socket.onclose = (event) => {
      socketOpen(false);
      if (event.code === 4401 || event.code === 4403) {
        clearTimeout(watchdog);
        poll(true);
      } else {
        retry();
      }
    };
  };

  addEventListener("pagehide", () => { if (socket) { socket.onclose = null; socket.close(); } });
  connect();
}

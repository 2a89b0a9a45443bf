// Opens decisions in a side sheet; without this script they are pages of their own.
import { ask } from "./page.js";
import { writeTimes } from "./times.js";

const sheet = document.createElement("dialog");
sheet.className = "side-sheet";
document.body.append(sheet);

async function open(link) {
  const answer = await fetch(link.href, { credentials: "same-origin", headers: { "X-Sheet": "1" } });
  if (!answer.ok) { location.assign(link.href); return; }
  sheet.innerHTML = await answer.text();
  sheet.setAttribute("aria-labelledby", "sheet-title");
  writeTimes(sheet);
  sheet.showModal();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-sheet]");
  if (link && !event.ctrlKey && !event.metaKey) { event.preventDefault(); open(link).catch(() => location.assign(link.href)); return; }
  if (event.target.closest("dialog [data-close]") || event.target === sheet) { event.preventDefault(); sheet.close(); }
});

// Live parts: fetched again every few seconds while the page is seen.
for (const place of document.querySelectorAll("[data-live]")) {
  setInterval(async () => {
    if (document.hidden || sheet.open || place.contains(document.activeElement)) return;
    try {
      const answer = await ask(place.dataset.live);
      if (answer.ok) { place.innerHTML = await answer.text(); writeTimes(place); }
    } catch { /* shown by the line of state */ }
  }, 3000);
}

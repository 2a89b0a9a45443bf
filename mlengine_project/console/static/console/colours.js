// Colours of the current theme, resolved for use on a canvas.
const NAMES = ["ink", "ink-2", "ink-3", "line", "line-strong", "surface", "up", "down", "accent", "late", "series-1", "series-2", "series-3", "series-4", "series-5"];

export function colours() {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const found = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    found[name.replace("-", "_")] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

export function faded(colour, alpha) {
  return colour.replace(/^rgba?\(([^,)]+),([^,)]+),([^,)]+).*$/, (_, red, green, blue) => `rgba(${red},${green},${blue},${alpha})`);
}

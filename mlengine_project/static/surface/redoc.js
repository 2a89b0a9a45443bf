"use strict";
const place = document.getElementById("redoc");
const font = "system-ui, sans-serif";
// Redoc draws its maker's badge from a host the page policy refuses. An image that fails is left out, so a source
// elsewhere becomes an empty one: nothing is asked of anybody, and the console stays silent.
const source = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src");
Object.defineProperty(HTMLImageElement.prototype, "src", {
  ...source,
  set(address) {
    const { origin, protocol } = new URL(address, location.href);
    source.set.call(this, origin === location.origin || protocol === "data:" ? address : "data:,");
  },
});
HTMLImageElement.prototype.setAttribute = function (name, value) {
  if (name === "src") this.src = value;
  else Element.prototype.setAttribute.call(this, name, value);
};
Redoc.init(
  place.dataset.schema,
  {
    disableSearch: false,
    hideDownloadButton: true,
    theme: { typography: { fontFamily: font, headings: { fontFamily: font }, code: { fontFamily: "ui-monospace, monospace" } } },
  },
  place,
);

"use strict";
const place = document.getElementById("redoc");
const font = "system-ui, sans-serif";
// Redoc loads a badge from a host that the content policy refuses. An image source on another host is replaced by an
// empty one, so that no request is sent and no error is logged.
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

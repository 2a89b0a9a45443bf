"use strict";
const place = document.getElementById("redoc");
const font = "system-ui, sans-serif";
Redoc.init(
  place.dataset.schema,
  {
    disableSearch: false,
    hideDownloadButton: true,
    theme: { typography: { fontFamily: font, headings: { fontFamily: font }, code: { fontFamily: "ui-monospace, monospace" } } },
  },
  place,
);

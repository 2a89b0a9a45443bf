// Tables to sort by pressing a column, and the choice of two rows to compare.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  table.tHead.querySelectorAll("th").forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, body, head));
  });
}

function keyOf(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  return text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
}

function sort(table, body, head) {
  const column = head.cellIndex, ascending = head.ariaSort === "descending";
  for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.ariaSort = ascending ? "ascending" : "descending";
  const rows = [...body.rows].map((row) => [keyOf(row, column), row]);
  // What is not known comes last, in both directions.
  rows.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return ascending ? order : -order;
  });
  body.append(...rows.map(([, row]) => row));
}

const compare = document.querySelector("[data-compare]");
if (compare) {
  const boxes = [...compare.form.querySelectorAll("input[name=version]")];
  const turn = () => {
    const chosen = boxes.filter((box) => box.checked);
    for (const box of boxes) box.disabled = !box.checked && (chosen.length === 2 || (chosen.length === 1 && box.dataset.kind !== chosen[0].dataset.kind));
    compare.disabled = chosen.length !== 2;
  };
  for (const box of boxes) box.addEventListener("change", turn);
  turn();
}

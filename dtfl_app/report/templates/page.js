"use strict";
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  table.querySelectorAll("th").forEach((head, column) => {
    const label = head.querySelector(".head");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label.textContent;
    label.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      const numeric = head.classList.contains("number");
      const missing = (row) => numeric && !("value" in row.cells[column].dataset);
      const compare = (a, b) => numeric
        ? Number(a.cells[column].dataset.value) - Number(b.cells[column].dataset.value)
        : a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", { numeric: true });
      const rows = [...body.rows];
      rows.sort((a, b) => missing(a) - missing(b) || (missing(a) ? 0 : sign * compare(a, b)));
      body.append(...rows);
    });
  });
}
addEventListener("beforeprint", () => {
  for (const closed of document.querySelectorAll("details:not([open])")) {
    closed.dataset.closed = "";
    closed.open = true;
  }
});
addEventListener("afterprint", () => {
  for (const opened of document.querySelectorAll("details[data-closed]")) opened.open = false;
});

"use strict";
// A click on a column button sorts the table by that column; a second click reverses the order.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      const key = (row) => {
        const cell = row.cells[column];
        const value = cell.dataset.value;
        return value === undefined ? cell.textContent : value === "" ? -Infinity : Number(value);
      };
      const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => (ascending ? 1 : -1) * order(key(a), key(b)));
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      table.tBodies[0].append(...rows);
    });
  });
}

// A click on an image, or Enter on it, opens its tile large; a click or Escape closes it.
const large = document.body.appendChild(document.createElement("dialog"));
large.setAttribute("aria-label", "image");
large.addEventListener("click", () => large.close());
for (const image of document.querySelectorAll(".hit img")) {
  const open = () => {
    const said = document.createElement("p");
    said.textContent = image.alt;
    large.replaceChildren(image.cloneNode(), said);
    large.showModal();
  };
  image.tabIndex = 0;
  image.setAttribute("role", "button");
  image.addEventListener("click", open);
  image.addEventListener("keydown", (event) => event.key === "Enter" && open());
}

// The button below a chart saves it as an SVG file, with the colours that the page shows.
const drawn = ["fill", "stroke", "stroke-width", "opacity", "font-size", "font-family"];
for (const chart of document.querySelectorAll("svg")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "save";
  button.textContent = "Save figure (SVG)";
  button.addEventListener("click", () => {
    const copy = chart.cloneNode(true);
    const copies = copy.querySelectorAll("*");
    chart.querySelectorAll("*").forEach((part, i) => {
      const style = getComputedStyle(part);
      drawn.forEach((name) => copies[i].setAttribute(name, style.getPropertyValue(name)));
      copies[i].removeAttribute("class");
    });
    const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    paper.setAttribute("width", "100%");
    paper.setAttribute("height", "100%");
    paper.setAttribute("fill", getComputedStyle(document.body).backgroundColor);
    copy.prepend(paper);
    const link = document.createElement("a");
    const text = new XMLSerializer().serializeToString(copy);
    link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    link.download = `${chart.closest("section").id}.svg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  chart.after(button);
}

"use strict";
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const say = (text) => { const said = document.getElementById("said"); if (said) said.textContent = text; };

  for (const button of all("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch {
        const range = document.createRange();
        range.selectNodeContents(code);
        const selection = getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
        document.execCommand("copy");
        selection.removeAllRanges();
      }
      button.textContent = "Copied";
      say("Copied");
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  const filter = document.querySelector("form.filter");
  if (filter) {
    filter.hidden = false;
    const whole = filter.elements.count.value;
    let results, rows;
    const choose = () => {
      // A large page is read when it is first searched, so that it opens at once.
      results ??= all("[data-family]").map((element) => ({ element, text: element.textContent.toLowerCase() }));
      rows ??= all("[data-nodes]").map((element) => ({ element, names: expanded(element.dataset.nodes) }));
      const given = new FormData(filter);
      const text = (given.get("text") || "").trim().toLowerCase();
      const family = given.get("family") || "";
      const node = (given.get("node") || "").trim();
      const statuses = given.getAll("status");
      let count = 0;
      for (const { element, text: told } of results) {
        const has = element.dataset.status.split(" ");
        const at = node && element.querySelector("[data-at]");
        const fits = (!text || told.includes(text)) && (!family || element.dataset.family === family)
          && (!statuses.length || statuses.some((each) => has.includes(each)))
          && (!node || !at || expanded(at.dataset.at).has(node));
        element.hidden = !fits;
        if (fits && element.tagName === "LI") count += 1;
      }
      for (const { element, names } of rows) element.hidden = Boolean(node) && !names.has(node);
      const chosen = Boolean(text || family || node || statuses.length);
      for (const group of all("details.family")) {
        const items = [...group.querySelectorAll("li[data-family]")];
        if (!items.length) continue;
        const left = items.some((each) => !each.hidden);
        group.hidden = !left;
        if (chosen && left) group.open = true;
      }
      for (const section of all("main > section")) {
        const items = [...section.querySelectorAll("article[data-family], tr[data-family], li[data-family]")];
        if (items.length) section.hidden = items.every((each) => each.hidden);
      }
      filter.elements.count.value = chosen ? `${count} of ${whole}` : whole;
    };
    filter.addEventListener("input", choose);
    filter.addEventListener("submit", (event) => event.preventDefault());
  }

  // Names of nodes as they are folded: n[1-3,07],login
  function expanded(folded) {
    const names = new Set();
    for (const part of folded.match(/(?:\[[^\]]*\]|[^,[])+/g) || []) {
      const inside = /^(.*?)\[([^\]]*)\](.*)$/.exec(part);
      if (!inside) { names.add(part.trim()); continue; }
      for (const span of inside[2].split(",")) {
        const [low, high] = span.split("-");
        const width = low.startsWith("0") ? low.length : 0;
        for (let number = Number(low); number <= Number(high || low); number += 1) {
          names.add(inside[1] + String(number).padStart(width, "0") + inside[3]);
        }
      }
    }
    return names;
  }

  addEventListener("beforeprint", () => { for (const each of all("details")) each.open = true; });
})();

(() => {
  const live = () => document.querySelector("[data-live]");
  const whole = document.querySelector("input[data-filter]");
  const said = document.getElementById("said");

  function filter() {
    if (!whole) return;
    const text = whole.value.trim().toLowerCase();
    let left = 0;
    for (const row of document.querySelectorAll("[data-rows] tbody tr")) {
      row.hidden = Boolean(text) && !row.textContent.toLowerCase().includes(text);
      if (!row.hidden) left += 1;
    }
    if (said && text) said.textContent = `${left} shown`;
  }
  if (whole) whole.addEventListener("input", filter);

  let last = null;
  let failed = 0;
  async function look() {
    if (!live()) return;
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { cache: "no-cache", credentials: "same-origin" });
        if (answer.ok) take(await answer.text());
        failed = 0;
      } catch {
        // The server is gone for now: what was seen stays, and it is asked less often.
        failed += 1;
      }
    }
    wait();
  }

  function wait() {
    const element = live();
    if (element) setTimeout(look, Math.min(30000, Number(element.dataset.live) * 1000 * 2 ** failed));
  }

  function take(text) {
    if (text === last) return;
    last = text;
    const next = new DOMParser().parseFromString(text, "text/html");
    const fresh = [...next.querySelectorAll("[data-part]")];
    const old = [...document.querySelectorAll("[data-part]")];
    const same = fresh.length === old.length && fresh.every((each, at) => each.dataset.part === old[at].dataset.part);
    if (!same || !next.querySelector("[data-live]")) { location.reload(); return; }
    const focused = document.activeElement && document.activeElement.id;
    fresh.forEach((each, at) => { if (each.innerHTML !== old[at].innerHTML) old[at].innerHTML = each.innerHTML; });
    if (focused && document.getElementById(focused)) document.getElementById(focused).focus({ preventScroll: true });
    filter();
  }
  if (location.protocol.startsWith("http")) wait();
})();

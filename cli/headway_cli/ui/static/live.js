// Parts of a page that change are asked for again and replaced; see headway_cli/ui/__init__.py.
"use strict";
(() => {
  let every = Number(document.body.dataset.every || 0) * 1000;
  const stale = document.getElementById("stale");
  let since = null;

  async function again() {
    if (document.hidden) return;
    let page;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!answer.ok) throw new Error(page.querySelector(".error p")?.textContent || String(answer.status));
    } catch (error) {
      since ??= Date.now();
      const seconds = Math.round((Date.now() - since) / 1000);
      // The process that serves this page was ended, or the cluster is away: what is shown is old.
      stale.textContent = `Not up to date for ${seconds} s: ${error instanceof TypeError ? "headway ui does not answer" : error.message}`;
      stale.hidden = false;
      return;
    }
    since = null;
    stale.hidden = true;
    every = Number(page.body.dataset.every || 0) * 1000; // 0 once nothing will change any more
    document.title = page.title;
    let changed = false;
    for (const old of document.querySelectorAll("[data-live][id]")) {
      const fresh = page.getElementById(old.id);
      if (!fresh || fresh.isEqualNode(old)) continue;
      const picked = getSelection();
      if (picked && !picked.isCollapsed && old.contains(picked.anchorNode)) continue; // somebody is about to copy from it
      // Whoever is on a link, button or table in it with the keyboard stays there, and a log that was scrolled to its end follows it.
      const at = old.contains(document.activeElement) ? document.activeElement : null;
      const name = at && ["id", "href", "data-copy", "aria-label"].find((each) => at.getAttribute(each));
      const atEnd = old.scrollHeight - old.scrollTop - old.clientHeight < 24;
      const top = old.scrollTop;
      old.replaceWith(fresh);
      fresh.scrollTop = atEnd ? fresh.scrollHeight : top;
      const same = (one) => one.getAttribute(name) === at.getAttribute(name);
      if (name) [fresh, ...fresh.querySelectorAll(`[${name}]`)].find(same)?.focus({ preventScroll: true });
      changed = true;
    }
    if (changed) document.dispatchEvent(new Event("headway:replaced"));
  }

  async function go() {
    await again();
    if (every) setTimeout(go, every);
  }
  if (every) setTimeout(go, every);
  document.addEventListener("visibilitychange", () => { if (every && !document.hidden) again(); });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy], button[data-copy-from]");
    if (!button) return;
    const { copy, copyFrom } = button.dataset;
    await navigator.clipboard.writeText(copy ?? document.getElementById(copyFrom).textContent);
    const said = button.textContent;
    button.textContent = "copied";
    setTimeout(() => { button.textContent = said; }, 1500);
  });
})();

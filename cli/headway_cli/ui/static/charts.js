// Charts of the pages of `headway ui`. Without this script the pages are text, tables and drawings that the server has made.
//
//   <figure class="chart" data-chart="curves" data-source="URL" data-every="2"><figcaption>...</figcaption></figure>
//       Curves by uPlot: URL answers {"series": {"train/loss": [[step, value], ...]}, "note": ""}, a value may be null. Series of one
//       quantity (what is after the first /) share a plot. With data-every (seconds) they are read again and move.
//   <svg data-walk aria-describedby="ID" tabindex="0">
//       A drawing with [data-of] parts that have a <title>: arrow keys go from one to the next, Enter follows its link, and
//       <output id="ID"> tells its title. data-walk="raise" puts the part that is marked above the others.
"use strict";
(() => {
  const HEIGHT = 220;
  const LEAST_WIDTH = 200;
  const COLOURS = 6;
  const LEAST_SECONDS = 0.2;
  const MOST_SECONDS = 60;

  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function element(tag, properties = {}) {
    return Object.assign(document.createElement(tag), properties);
  }

  function written(value) {
    if (value === null || value === undefined || !Number.isFinite(value)) return "\u2013";
    return String(Number(value.toPrecision(5)));
  }

  // train/loss and validation/loss are both `loss`.
  function grouped(series) {
    const groups = new Map();
    for (const name of Object.keys(series).sort()) {
      const quantity = name.slice(name.indexOf("/") + 1);
      groups.set(quantity, [...(groups.get(quantity) ?? []), name]);
    }
    return groups;
  }

  // As uPlot has points of several series: all steps, and for each series a value or null at each of them.
  function aligned(names, series) {
    const steps = [...new Set(names.flatMap((name) => series[name].map((point) => point[0])))].sort((a, b) => a - b);
    const places = new Map(steps.map((step, place) => [step, place]));
    const columns = names.map((name) => {
      const column = new Array(steps.length).fill(null);
      for (const [step, value] of series[name]) column[places.get(step)] = value;
      return column;
    });
    return [steps, ...columns];
  }

  function options(names, width, label) {
    const line = { stroke: token("--line"), width: 1 };
    const axis = { stroke: token("--muted"), grid: line, ticks: line, font: "12px system-ui, sans-serif" };
    const drawn = (name, place) => ({
      label: name,
      stroke: token(`--series-${1 + (place % COLOURS)}`),
      width: 2,
      dash: place < COLOURS ? undefined : [6, 4],
      spanGaps: true,
      value: (_, value) => written(value),
    });
    return {
      width,
      height: HEIGHT,
      scales: { x: { time: false } },
      cursor: { sync: { key: "headway" }, drag: { x: true, y: false } },
      axes: [axis, { ...axis, size: 64, values: (_, splits) => splits.map(written) }],
      series: [{ label, value: (_, value) => written(value) }, ...names.map(drawn)],
    };
  }

  class Curves {
    constructor(figure) {
      this.figure = figure;
      this.place = element("div", { className: "curves" });
      this.told = element("p", { className: "readout" });
      this.told.setAttribute("role", "status");
      figure.append(this.place, this.told);
      this.series = {};
      this.names = "";
      this.plots = [];
      this.wait = this.every = Number(figure.dataset.every) || 0;
      this.go();
    }

    // Never asked for twice at once, and less often while nobody answers.
    async go() {
      if (!this.figure.isConnected) {
        this.clear();
        return;
      }
      if (!document.hidden || !this.names) {
        this.wait = (await this.read()) ? this.every : Math.min(MOST_SECONDS, 2 * this.wait);
      }
      if (this.every) setTimeout(() => this.go(), Math.max(LEAST_SECONDS, this.wait) * 1000);
    }

    async read() {
      try {
        const answer = await fetch(this.figure.dataset.source, { redirect: "error", cache: "no-store" });
        const document = await answer.json();
        if (!answer.ok) throw new Error(document.error ?? `the answer is ${answer.status}`);
        this.show(document.series ?? {}, document.note ?? "");
        if (document.live === false) this.every = 0; // nothing will be added any more
        return true;
      } catch (error) {
        const why = error instanceof TypeError ? "headway ui does not answer" : error.message;
        this.told.textContent = `The curves are not up to date: ${why}`;
        return false;
      }
    }

    show(series, note) {
      this.series = series;
      const groups = grouped(series);
      this.told.textContent = note || (groups.size ? "" : "No values so far.");
      const names = JSON.stringify([...groups]);
      if (names !== this.names) {
        this.names = names;
        this.draw();
        return;
      }
      for (const each of this.plots) {
        each.plot.setData(aligned(each.names, series));
        this.say(each);
      }
    }

    clear() {
      for (const { plot } of this.plots) plot.destroy();
      this.plots = [];
      this.place.replaceChildren();
    }

    draw() {
      this.clear();
      for (const [quantity, names] of grouped(this.series)) {
        const whole = element("div", { className: "curve" });
        const place = element("div", { className: "plot", tabIndex: 0 });
        const told = element("p", { className: "readout" });
        whole.append(element("h3", { textContent: quantity }), place, told);
        this.place.append(whole);
        const label = this.figure.dataset.label ?? "step";
        const width = Math.max(LEAST_WIDTH, place.clientWidth);
        const plot = new uPlot(options(names, width, label), aligned(names, this.series), place);
        const made = { plot, names, place, told, label };
        this.plots.push(made);
        this.walkable(made, quantity);
        this.say(made);
      }
    }

    // The newest values in words, for who sees no drawing.
    say({ names, told, label }) {
      const newest = names
        .filter((name) => this.series[name].length)
        .map((name) => {
          const [step, value] = this.series[name].at(-1);
          return `${name} ${written(value)} at ${label} ${written(step)}`;
        });
      told.textContent = newest.length ? `Newest: ${newest.join(", ")}` : "";
    }

    // Arrow keys move the cursor, and the legend shows the values there.
    walkable({ plot, place, told, names, label }, quantity) {
      place.setAttribute("role", "application");
      place.setAttribute("aria-roledescription", "chart");
      place.setAttribute("aria-label", `Curves of ${quantity}: arrow keys move through the values`);
      place.addEventListener("keydown", (event) => {
        const steps = plot.data[0];
        const last = steps.length - 1;
        const now = plot.cursor.idx ?? (event.key === "ArrowLeft" ? last + 1 : -1);
        const stride = event.shiftKey ? Math.max(1, Math.round(last / 20)) : 1;
        const to = { ArrowLeft: now - stride, ArrowRight: now + stride, Home: 0, End: last }[event.key];
        if (to === undefined || last < 0) return;
        event.preventDefault();
        const index = Math.min(last, Math.max(0, to));
        plot.setCursor({ left: plot.valToPos(steps[index], "x"), top: plot.over.clientHeight / 2 });
        const there = names.map((name, place) => `${name} ${written(plot.data[place + 1][index])}`);
        told.textContent = `At ${label} ${written(steps[index])}: ${there.join(", ")}`;
      });
    }

    fit() {
      for (const { plot, place } of this.plots) {
        const width = Math.max(LEAST_WIDTH, place.clientWidth);
        if (width !== plot.width) plot.setSize({ width, height: HEIGHT });
      }
    }
  }

  const drawn = new Map();

  function curves() {
    for (const figure of drawn.keys()) {
      if (!figure.isConnected) drawn.delete(figure);
    }
    for (const figure of document.querySelectorAll("[data-chart='curves']")) {
      if (!drawn.has(figure)) drawn.set(figure, new Curves(figure));
    }
  }

  let fitting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(fitting);
    fitting = requestAnimationFrame(() => drawn.forEach((each) => each.fit()));
  });
  // Colours of a canvas do not follow the scheme by themselves.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach((each) => each.draw()));
  document.addEventListener("headway:replaced", curves);

  // --- drawings that the server has made ---

  const walks = new WeakMap();

  function walk(drawing) {
    // The best is drawn last, above the others, and comes first.
    const parts = () => [...drawing.querySelectorAll("[data-of]")].reverse();
    if (!walks.has(drawing)) walks.set(drawing, { parts: parts(), place: -1 });
    return walks.get(drawing);
  }

  function mark(drawing, place) {
    const state = walk(drawing);
    state.parts[state.place]?.classList.remove("here");
    state.place = place;
    const one = state.parts[place];
    one?.classList.add("here");
    if (one && drawing.dataset.walk === "raise") one.parentNode.append(one);
    const told = document.getElementById(drawing.getAttribute("aria-describedby"));
    if (told) told.textContent = one?.querySelector("title")?.textContent ?? "";
  }

  document.addEventListener("keydown", (event) => {
    const drawing = event.target.closest?.("svg[data-walk]");
    if (!drawing) return;
    const { parts, place } = walk(drawing);
    const last = parts.length - 1;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const to = step ? place + step : { Home: 0, End: last }[event.key];
    if (event.key === "Enter" && parts[place]) {
      location.assign(parts[place].getAttribute("href"));
    } else if (event.key === "Escape") {
      mark(drawing, -1);
    } else if (to !== undefined && last >= 0) {
      event.preventDefault();
      mark(drawing, Math.min(last, Math.max(0, to)));
    }
  });
  document.addEventListener("pointerover", (event) => {
    const part = event.target.closest?.("[data-of]");
    const drawing = part?.closest("svg[data-walk]");
    if (drawing) mark(drawing, walk(drawing).parts.indexOf(part));
  });

  curves();
})();

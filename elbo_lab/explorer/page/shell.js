// The shell of the explorer: tabs, predictions, sliders, and what draws. Each tab has a part in a file of its own:
//
//   Explorer.part("bound", {
//     build(area, view) {},        // once: makes its pictures in an empty element; view.move(changes) asks for a frame
//     draw(frame, change) {},      // for each frame; change = { kind: "start" | "slide" | "move" | "take", fresh }
//   });
//
// `fresh` says that a new gesture begins: a button, or another slider, or one that was let go in between.
// Frames come from `Explorer.source`; a page without a server sets another before the document is loaded.
"use strict";

window.Explorer = (() => {
  const parts = {};
  const times = []; // milliseconds from a move to its picture

  const source = {
    described: () => ask("tabs"),
    frame: (tab, settings, take) => ask("frame?" + new URLSearchParams({ tab, take, ...settings })),
  };

  async function ask(address) {
    const answer = await fetch(address);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    return found;
  }

  // -- elements and numbers ---------------------------------------------------------------------

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") made.textContent = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  const lower = (text) => text[0].toLowerCase() + text.slice(1);
  const minus = (text) => text.replace("-", "−");
  const fixed = (value, digits = 4) => minus(value.toFixed(digits));
  const signed = (value, digits = 4) => (value < 0 ? "" : "+") + fixed(value, digits);

  // 1234567 as "1.2 million"; beyond the words, as a power of ten.
  function count(value) {
    const words = [[1e12, "trillion"], [1e9, "billion"], [1e6, "million"]];
    if (value >= 1e15) return `10^${Math.log10(value).toFixed(1)}`;
    for (const [size, word] of words) if (value >= size) return `${+(value / size).toPrecision(2)} ${word}`;
    if (value >= 100) return Math.round(value).toLocaleString("en");
    return Number.isInteger(value) ? String(value) : value.toPrecision(3);
  }

  const short = (value) => {
    if (value !== 0 && Math.abs(value) < 1e-12) return "0";
    return minus(Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(1) : String(+value.toPrecision(3)));
  };

  // -- plots ------------------------------------------------------------------------------------

  function ticksOf(low, high, wanted) {
    const rough = (high - low) / wanted;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) || rough;
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(+(i * step).toPrecision(12));
    return found;
  }

  const svg = (tag, attributes, text = "") =>
    `<${tag}${Object.entries(attributes).map(([k, v]) => ` ${k}="${v}"`).join("")}>${text}</${tag}>`;
  const safe = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

  // A picture with axes. Its drawing is kept as a function, so that another width draws it anew.
  class Plot {
    // `tells`: it answers the question of its tab before a move, so it is hidden until the reader has predicted.
    constructor(area, { title, xlabel = "", ylabel = "", height = 260, key = [], yticks = true, clipped = false, tells = false }) {
      Object.assign(this, { title, xlabel, ylabel, height, yticks, clipped, drawing: null, width: 0 });
      this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      this.svg.setAttribute("role", "img");
      this.svg.setAttribute("height", height);
      this.note = element("span", { class: "note" });
      const caption = element("figcaption", {}, element("b", { text: title }), " ", this.note);
      const legend = element("div", { class: "key" });
      for (const [mark, words] of key) legend.append(element("span", { class: "entry" }, element("span", { class: `mark ${mark}` }), ` ${words}`));
      this.figure = element("figure", { class: tells ? "tells" : null }, caption, ...(key.length ? [legend] : []), this.svg);
      area.append(this.figure);
      new ResizeObserver(([entry]) => {
        const width = Math.round(entry.contentRect.width);
        if (width && width !== this.width) {
          this.width = width;
          this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
          if (this.drawing) this.paint();
        }
      }).observe(this.svg);
    }

    // x, y: [low, high]; `drawing` calls line, dots, rule and so on of this plot; `words` describe it.
    show({ x, y, words, xticks = null, xname = short, yname = short }, drawing) {
      Object.assign(this, { x, y, xgiven: xticks, xname, yname, drawing });
      this.svg.setAttribute("aria-label", `${this.title}. ${words}`);
      if (!this.width) {
        this.width = Math.round(this.svg.getBoundingClientRect().width);
        if (!this.width) return;
        this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
      }
      this.paint();
    }

    paint() {
      this.left = this.yticks ? 46 : 12;
      this.right = this.width - 12;
      this.top = 12;
      this.bottom = this.height - (this.xlabel ? 42 : 24);
      this.out = [];
      this.axes();
      const axes = this.out;
      this.out = [];
      this.drawing(this);
      const drawn = this.out.join("");
      const [width, height] = [this.right - this.left, this.bottom - this.top];
      const inside = { x: this.left, y: this.top, width, height, viewBox: `${this.left} ${this.top} ${width} ${height}` };
      this.svg.innerHTML = axes.join("") + (this.clipped ? svg("svg", inside, drawn) : drawn);
    }

    px(value) {
      return this.left + ((value - this.x[0]) / (this.x[1] - this.x[0])) * (this.right - this.left);
    }

    py(value) {
      return this.bottom - ((value - this.y[0]) / (this.y[1] - this.y[0])) * (this.bottom - this.top);
    }

    axes() {
      const { left, right, top, bottom } = this;
      for (const value of this.xgiven || ticksOf(...this.x, Math.max(2, (right - left) / 60))) {
        const at = this.px(value).toFixed(1);
        this.out.push(svg("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }));
        this.out.push(svg("text", { class: "tick", x: at, y: bottom + 17, "text-anchor": "middle" }, safe(this.xname(value))));
      }
      for (const value of this.yticks ? ticksOf(...this.y, Math.max(2, (bottom - top) / 50)) : []) {
        const at = this.py(value).toFixed(1);
        this.out.push(svg("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }));
        this.out.push(svg("text", { class: "tick", x: left - 7, y: +at + 4, "text-anchor": "end" }, safe(this.yname(value))));
      }
      this.out.push(svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
      if (this.xlabel) {
        this.out.push(svg("text", { class: "label", x: (left + right) / 2, y: this.height - 6, "text-anchor": "middle" }, safe(this.xlabel)));
      }
      if (this.ylabel) this.out.push(svg("text", { class: "label", x: left + 6, y: top + 12 }, safe(this.ylabel)));
    }

    line(xs, ys, mark) {
      let path = "";
      xs.forEach((x, i) => {
        if (ys[i] !== null) path += `${path ? "L" : "M"}${this.px(x).toFixed(1)} ${this.py(ys[i]).toFixed(1)}`;
      });
      this.out.push(svg("path", { class: `line ${mark}`, d: path }));
    }

    area(xs, ys, mark) {
      const floor = this.py(Math.max(0, this.y[0])).toFixed(1);
      const points = xs.map((x, i) => `L${this.px(x).toFixed(1)} ${this.py(ys[i]).toFixed(1)}`).join("");
      this.out.push(svg("path", { class: `area ${mark}`, d: `M${this.px(xs[0]).toFixed(1)} ${floor}${points}L${this.px(xs.at(-1)).toFixed(1)} ${floor}Z` }));
    }

    // Dots beyond an edge are left out; their number is returned.
    dots(points, mark) {
      let path = "";
      let beyond = 0;
      for (const [x, y] of points) {
        if (x < this.x[0] || x > this.x[1] || y < this.y[0] || y > this.y[1]) beyond++;
        else path += `M${this.px(x).toFixed(1)} ${this.py(y).toFixed(1)}h0`;
      }
      this.out.push(svg("path", { class: `dots ${mark}`, d: path }));
      return beyond;
    }

    // Dots of a colour of their own.
    points(places, color, large) {
      const path = places.map(([x, y]) => `M${this.px(x).toFixed(1)} ${this.py(y).toFixed(1)}h0`).join("");
      this.out.push(svg("path", { class: large ? "points large" : "points", stroke: color, d: path }));
    }

    // Where an event of the pointer is, in the units of the axes.
    at(event) {
      const box = this.svg.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      return [
        this.x[0] + ((x - this.left) / (this.right - this.left)) * (this.x[1] - this.x[0]),
        this.y[0] + ((this.bottom - y) / (this.bottom - this.top)) * (this.y[1] - this.y[0]),
      ];
    }

    cross(x, y, mark) {
      const [at, up] = [this.px(x), this.py(y)];
      this.out.push(svg("path", { class: `line ${mark}`, d: `M${at - 8} ${up}h16M${at} ${up - 8}v16` }));
    }

    vertical(x, mark) {
      this.out.push(svg("line", { class: `line ${mark}`, x1: this.px(x), x2: this.px(x), y1: this.top, y2: this.bottom }));
    }

    horizontal(y, mark) {
      this.out.push(svg("line", { class: `line ${mark}`, x1: this.left, x2: this.right, y1: this.py(y), y2: this.py(y) }));
    }

    bar(from, to, low, high, mark) {
      const [a, b] = [Math.max(from, this.x[0]), Math.min(to, this.x[1])].map((v) => this.px(v));
      const [up, down] = [this.py(high), this.py(low)];
      if (b > a) this.out.push(svg("rect", { class: `bar ${mark}`, x: a, y: up, width: b - a, height: down - up }));
    }

    text(x, y, words, anchor = "middle") {
      this.out.push(svg("text", { class: "label", x: this.px(x), y: this.py(y), "text-anchor": anchor }, safe(words)));
    }
  }

  // An axis that stays where it is while all it shows stays within, and is not lost in it.
  class Axis {
    constructor(least = 0) {
      this.least = least;
      this.range = null;
    }

    holding(low, high) {
      const span = Math.max(high - low, this.least);
      const kept = this.range;
      const room = kept && kept[1] - kept[0];
      if (!kept || low < kept[0] || high > kept[1] || span < 0.12 * room) {
        this.range = [high - 1.6 * span, high + 0.35 * span];
      }
      return this.range;
    }

    // The same with as much room below as above.
    around(low, high) {
      const span = Math.max(high - low, this.least);
      const kept = this.range;
      if (!kept || low < kept[0] || high > kept[1] || span < 0.25 * (kept[1] - kept[0])) {
        const middle = (low + high) / 2;
        this.range = [middle - 0.75 * span, middle + 0.75 * span];
      }
      return this.range;
    }
  }

  // What a move changed: of each row [name, words, mark] the number before, now, and the change.
  class Changes {
    constructor(area, tab, caption, rows) {
      this.cells = {};
      this.rows = rows;
      const table = element("table", {}, element("caption", { text: caption }));
      table.append(element("thead", {}, element("tr", {}, ...["", "before", "now", "change"].map((text) => element("th", { scope: "col", text })))));
      for (const [name, words, mark] of rows) {
        this.cells[name] = ["before", "now", "change"].map((kind) => element("td", { "data-cell": `${name}-${kind}` }));
        table.append(element("tr", {}, element("th", { scope: "row" }, element("span", { class: `mark ${mark}` }), ` ${words}`), ...this.cells[name]));
      }
      area.append(table);
    }

    // `fresh`: the move begins at what was shown last.
    show(frame, fresh) {
      if (fresh || !this.before) this.before = this.last || frame;
      this.last = frame;
      for (const [name] of this.rows) {
        const [was, now, moved] = this.cells[name];
        const by = frame[name] - this.before[name];
        was.textContent = fixed(this.before[name]);
        now.textContent = fixed(frame[name]);
        moved.textContent = by === 0 ? "0, exactly" : signed(by);
        moved.className = by === 0 ? "still" : "";
      }
    }
  }

  const placeOf = ({ values }, value) => (values
    ? values.reduce((best, one, i) => (Math.abs(one - value) < Math.abs(values[best] - value) ? i : best), 0) : value);

  // -- one tab ----------------------------------------------------------------------------------

  class View {
    constructor(tab, skip) {
      this.tab = tab;
      this.settings = Object.fromEntries(tab.sliders.map((s) => [s.name, s.start]));
      this.open = skip;
      this.chosen = null;
      this.held = null; // the slider of the gesture under way
      this.busy = false;
      this.waiting = null;
      this.inputs = {};
      this.panel = element("section", {
        role: "tabpanel", id: `panel-${tab.name}`, "aria-labelledby": `tab-${tab.name}`, tabindex: "0", hidden: true,
      });
      this.pictures = element("div", { class: "pictures" });
      this.message = element("p", { class: "error", role: "alert", hidden: true });
      this.panel.append(
        element("h2", { text: tab.title }), element("p", { class: "idea", text: tab.idea }),
        this.question(), this.controls(), this.message, this.pictures,
      );
      this.lock();
    }

    question() {
      const { text, choices } = this.tab.question;
      this.buttons = choices.map((words, i) =>
        element("button", { type: "button", class: "choice", "aria-pressed": "false", text: words, onclick: () => this.choose(i) }));
      this.skip = element("button", { type: "button", class: "skip", text: "skip the question", onclick: () => this.choose(null) });
      this.verdict = element("p", { class: "verdict", role: "status" });
      this.card = element("div", { class: "question", role: "group", "aria-label": "Your prediction" },
        element("p", {}, element("span", { class: "badge", text: "Predict first" }), " ", text),
        element("div", { class: "choices" }, ...this.buttons), this.verdict, this.skip);
      return this.card;
    }

    choose(index) {
      this.chosen = index;
      this.open = true;
      this.lock();
      if (index === null) this.card.hidden = true;
      else this.verdict.textContent = `You predict: ${lower(this.tab.question.choices[index])}. ${this.tab.question.try_it}`;
      this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
    }

    lock() {
      this.fields.disabled = !this.open;
      this.panel.classList.toggle("locked", !this.open);
      this.skip.hidden = this.open;
      if (this.open && this.chosen === null) this.card.hidden = true;
      this.buttons.forEach((button) => { button.disabled = this.open; });
    }

    settle(name) {
      const { right, choices, because, settled_by: by } = this.tab.question;
      if (this.chosen === null || this.settled || !by.includes(name)) return;
      this.settled = true;
      const held = this.chosen === right;
      this.card.classList.add(held ? "held" : "missed");
      this.verdict.replaceChildren(
        element("b", { text: held ? "Your prediction held. " : `Your prediction did not hold: ${lower(choices[right])}. ` }), because);
    }

    controls() {
      this.fields = element("fieldset", { class: "controls" }, element("legend", { text: "Move" }));
      for (const slider of this.tab.sliders) {
        const id = `${this.tab.name}-${slider.name}`;
        // A slider with a list of values has their places.
        const range = slider.values ? [0, slider.values.length - 1, 1] : [slider.low, slider.high, slider.step];
        const input = element("input", { type: "range", id, min: range[0], max: range[1], step: range[2], value: placeOf(slider, slider.start),
          oninput: () => this.slide(slider), onchange: () => { this.held = null; } });
        const output = element("output", { for: id });
        this.inputs[slider.name] = { input, output, slider };
        this.fields.append(element("div", { class: "slider" }, element("label", { for: id, text: slider.label }), output, input));
      }
      const row = element("div", { class: "moves" });
      for (const { name, label } of this.tab.buttons) {
        row.append(element("button", { type: "button", "data-take": name, text: label, onclick: () => this.take(name) }));
      }
      if (this.tab.buttons.length) this.fields.append(row);
      return this.fields;
    }

    slide(slider) {
      const fresh = this.held !== slider.name;
      this.held = slider.name;
      const place = Number(this.inputs[slider.name].input.value);
      this.settings[slider.name] = slider.values ? slider.values[place] : place;
      for (const name of slider.resets) delete this.settings[name];
      this.request({ kind: "slide", name: slider.name, fresh, take: "", since: performance.now() });
    }

    // Settings without a slider, which a part moves itself; `fresh` as above.
    move(changes, fresh) {
      this.held = null;
      Object.assign(this.settings, changes);
      this.request({ kind: "move", name: Object.keys(changes)[0], fresh, take: "", since: performance.now() });
    }

    take(name) {
      this.held = null;
      this.request({ kind: "take", name, fresh: true, take: name, since: performance.now() });
    }

    start() {
      if (!this.started) {
        this.started = true;
        parts[this.tab.name].build(this.pictures, this);
        this.request({ kind: "start", name: "", fresh: true, take: "", since: performance.now() });
      }
    }

    // One frame at a time; of the moves that come meanwhile the last one counts.
    async request(change) {
      if (this.busy) {
        const passed = this.waiting;
        this.waiting = passed && passed.fresh && !change.take ? { ...change, fresh: true } : change;
        return;
      }
      this.busy = true;
      try {
        const frame = await Explorer.source.frame(this.tab.name, this.settings, change.take);
        if (change.take || !this.waiting) this.settings = { ...frame.settings };
        this.message.hidden = true;
        this.label();
        parts[this.tab.name].draw(frame, change);
        this.frame = frame;
        times.push(performance.now() - change.since);
        if (change.kind !== "start") this.settle(change.name);
      } catch (fault) {
        this.message.textContent = fault instanceof TypeError && /fetch/i.test(fault.message)
          ? "The server does not answer. It has ended: start elbo-lab explore again." : fault.message;
        this.message.hidden = false;
      }
      this.busy = false;
      const next = this.waiting;
      this.waiting = null;
      if (next) await this.request(next);
    }

    label() {
      for (const [name, { input, output, slider }] of Object.entries(this.inputs)) {
        const value = this.settings[name];
        const place = placeOf(slider, value);
        if (Number(input.value) !== place) input.value = place;
        const digits = slider.step >= 1 ? 0 : 3;
        output.value = (slider.power ? count(Math.round(slider.power ** value)) : fixed(value, digits)) + (slider.unit ? ` ${slider.unit}` : "");
        input.setAttribute("aria-valuetext", output.value);
      }
    }
  }

  // -- the page ---------------------------------------------------------------------------------

  function themeButton() {
    const dark = () => document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const button = element("button", { type: "button", class: "theme", onclick: () => {
      document.documentElement.dataset.theme = dark() ? "light" : "dark";
      name();
    } });
    const name = () => { button.textContent = dark() ? "Light" : "Dark"; };
    name();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
    return button;
  }

  function select(views, name, focus) {
    for (const view of Object.values(views)) {
      const here = view.tab.name === name;
      view.panel.hidden = !here;
      view.button.setAttribute("aria-selected", String(here));
      view.button.tabIndex = here ? 0 : -1;
      if (here && focus) view.button.focus();
      if (here) document.querySelector(".about").hidden = view.tab.own_example;
    }
    history.replaceState(null, "", `#${name}`);
    views[name].start();
  }

  async function start() {
    const root = document.getElementById("explorer");
    let page;
    try {
      page = await Explorer.source.described();
    } catch (fault) {
      root.append(element("p", { class: "error", role: "alert", text: fault.message }));
      return;
    }
    const tabs = page.tabs.filter((tab) => parts[tab.name]);
    const views = {};
    const list = element("div", { role: "tablist", "aria-label": "Ideas" });
    const names = tabs.map((tab) => tab.name);
    for (const tab of tabs) {
      const view = new View(tab, page.skip_predictions);
      view.button = element("button", { type: "button", role: "tab", id: `tab-${tab.name}`, "aria-controls": `panel-${tab.name}`,
        text: tab.title, onclick: () => select(views, tab.name, false) });
      views[tab.name] = view;
      list.append(view.button);
    }
    list.addEventListener("keydown", (event) => {
      const now = names.findIndex((name) => views[name].button === document.activeElement);
      const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: names.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      select(views, names[(to + names.length) % names.length], true);
    });
    root.replaceChildren(
      element("header", {}, element("div", {}, element("h1", { text: "elbo-lab explore" }), element("p", { class: "about", text: page.about })), themeButton()),
      list, element("main", {}, ...Object.values(views).map((view) => view.panel)));
    Explorer.views = views;
    const wanted = location.hash.slice(1);
    select(views, views[wanted] ? wanted : views[page.first] ? page.first : names[0], false);
  }

  document.addEventListener("DOMContentLoaded", start);
  return { part: (name, part) => { parts[name] = part; }, source, times, Plot, Axis, Changes, element, fixed, signed, count, short };
})();

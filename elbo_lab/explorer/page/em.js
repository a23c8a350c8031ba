// Tab `em`: points and the components of a mixture in the plane, and what each half step changed.
"use strict";

Explorer.part("em", (() => {
  const { Plot, Changes, element, fixed } = Explorer;
  const MARKS = ["first", "second", "third"];
  const STEPS = ["e-step", "m-step", "both"];
  const SHOWN = 8; // steps in the trace
  const FAR = 10; // arrow keys move by a hundredth of the plane, with Shift by ten
  let view, plane, trace, changes, last;
  let handles = [];
  let held = null; // the mean under the pointer
  let past = [];

  // The colour of a point: that of the components, by its shares.
  function mixture(shares) {
    let color = `var(--${MARKS[0]})`;
    let sum = shares[0];
    shares.slice(1).forEach((share, i) => {
      sum += share;
      if (share > 0) color = `color-mix(in srgb, var(--${MARKS[i + 1]}) ${Math.round((100 * share) / sum)}%, ${color})`;
    });
    return color;
  }

  const withGap = (frame) => ({ ...frame, gap: frame.log_p - frame.bound });
  const within = (value, axis) => Math.min(Math.max(value, last.plane.low[axis]), last.plane.high[axis]);
  const playing = () => view.open && last && !view.tab.recorded;

  function place(component, x, y, fresh) {
    const theta = [...view.settings.theta];
    const at = last.first_mean + 2 * component;
    theta[at] = within(+x.toFixed(3), 0);
    theta[at + 1] = within(+y.toFixed(2), 1);
    view.move({ theta }, fresh);
  }

  function add(x, y) {
    const points = [...view.settings.points, within(+x.toFixed(2), 0), within(+y.toFixed(1), 1)];
    if (points.length <= 2 * last.plane.most) view.move({ points }, true);
  }

  function handle(component) {
    const made = element("button", { type: "button", class: `handle ${MARKS[component]}`, text: String(component + 1) });
    made.addEventListener("pointerdown", (event) => {
      if (!playing()) return;
      made.setPointerCapture(event.pointerId);
      held = component;
    });
    made.addEventListener("pointermove", (event) => {
      if (held === component) place(component, ...plane.at(event), false);
    });
    for (const name of ["pointerup", "pointercancel"]) made.addEventListener(name, () => { held = null; });
    made.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!playing() || !(by || event.key === "Enter")) return;
      event.preventDefault();
      const at = last.first_mean + 2 * component;
      const here = view.settings.theta.slice(at, at + 2);
      if (event.key === "Enter") add(...here);
      else {
        const far = event.shiftKey ? FAR : 1;
        place(component, ...here.map((value, i) => value + (by[i] * far * (last.plane.high[i] - last.plane.low[i])) / 100), !event.repeat);
      }
    });
    return made;
  }

  function drawPoints(plot, frame) {
    const groups = new Map();
    frame.points.forEach((point, n) => {
      const own = n >= frame.points.length - frame.own;
      const key = JSON.stringify([own, frame.shares[n].map((share) => Math.round(20 * share) / 20)]);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(point);
    });
    for (const [key, points] of groups) {
      const [own, shares] = JSON.parse(key);
      plot.points(points, mixture(shares), own);
    }
  }

  return {
    build(area, of) {
      view = of;
      plane = new Plot(area, { title: "Points and components", height: 400,
        key: MARKS.map((mark, i) => [mark, `component ${i + 1}`]), clipped: true });
      plane.figure.classList.add("wide", "plane");
      handles = MARKS.map((_, i) => handle(i));
      plane.figure.append(...handles);
      plane.figure.append(element("p", { class: "hint", text: view.tab.recorded
        ? "A recorded run: odd half steps are E-steps, even ones M-steps. To place points and drag means, start elbo-lab explore."
        : "Click to add a point. Drag a mean, or select it and use the arrow keys; Enter puts a point there." }));
      if (!view.tab.recorded) {
        plane.svg.addEventListener("click", (event) => { if (playing()) add(...plane.at(event)); });
      }
      changes = new Changes(area, "em", `What the last ${view.tab.recorded ? "half step" : "move"} changed, in nats`,
        [["log_p", "log p(x)", "exact"], ["bound", "bound", "elbo"], ["gap", "gap", "gap"]]);
      trace = new Plot(area, { title: "Steps so far", xlabel: "steps", ylabel: "nats",
        key: [["exact", "log p(x)"], ["elbo", "bound"]] });
      trace.figure.classList.add("wide");
    },

    draw(given, change) {
      const frame = withGap(given);
      const { history, settings } = given;
      const step = history || STEPS.includes(change.name);
      if (history) changes.last = withGap(history[Math.max(0, settings.step - 1)]);
      changes.show(frame, change.fresh || Boolean(history) || !step);
      last = frame;
      const { low, high, labels } = frame.plane;
      Object.assign(plane, { xlabel: labels[0], ylabel: labels[1] });
      plane.note.textContent = `${frame.points.length} points; ellipses: 2 standard deviations`;
      const where = frame.means.map(([x, y], i) => `component ${i + 1} at ${fixed(x, 2)} and ${fixed(y, 1)}, weight ${fixed(frame.weights[i], 2)}`);
      plane.show({ x: [low[0], high[0]], y: [low[1], high[1]], words: `${frame.words} ${where.join("; ")}.` }, (plot) => {
        drawPoints(plot, frame);
        frame.outlines.forEach((outline, i) => plot.line(outline.map(([x]) => x), outline.map(([, y]) => y), MARKS[i]));
        const [card, picture] = [plot.figure, plot.svg].map((one) => one.getBoundingClientRect());
        const [right, down] = [picture.left - card.left - plot.figure.clientLeft, picture.top - card.top - plot.figure.clientTop];
        handles.forEach((one, i) => {
          one.hidden = i >= frame.means.length;
          if (one.hidden) return;
          const [x, y] = frame.means[i];
          one.setAttribute("aria-label", `mean of ${where[i]}`);
          one.style.left = `${right + plot.px(x)}px`;
          one.style.top = `${down + plot.py(y)}px`;
        });
      });
      // Whoever moves means or points starts another run.
      if (!step) past = [];
      if (history) past = history.slice(0, settings.step + 1);
      else past.push(frame);
      const first = Math.max(0, past.length - SHOWN);
      const steps = past.map((_, i) => i).slice(first);
      const every = past.slice(first);
      const numbers = every.flatMap((one) => [one.bound, one.log_p]);
      const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
      const room = Math.max(0.12 * (most - least), 0.5);
      const ticks = Array.from({ length: SHOWN }, (_, i) => first + i);
      trace.show({ x: [first, first + SHOWN - 1], xticks: ticks, y: [least - room, most + room],
        words: `${past.length - 1} steps; log p(x) is ${fixed(frame.log_p)} and the bound ${fixed(frame.bound)} nats.` }, (plot) => {
        plot.line(steps, every.map((one) => one.log_p), "exact");
        plot.line(steps, every.map((one) => one.bound), "elbo");
      });
    },
  };
})());

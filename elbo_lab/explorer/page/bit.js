// Tab `bit`: the cost of one bit, and the means and the noise of its gradients against the temperature.
"use strict";

Explorer.part("bit", (() => {
  const { Plot, Axis, element, fixed, signed, short } = Explorer;
  const axis = new Axis(0.04);
  const KEY = [["score-function", "REINFORCE"], ["straight-through", "straight-through"], ["concrete", "Concrete"], ["rebar", "REBAR"]];
  const TICKS = [0.05, 0.1, 0.2, 0.5, 1, 2].map(Math.log10);
  const LEAST = 1e-3; // of the deviations in the picture
  let cost, mean, noise, cells;

  function table() {
    const made = element("table", {}, element("caption", { text: "One estimate of the gradient, exactly" }));
    made.append(element("thead", {}, element("tr", {}, ...["", "mean", "bias", "deviation"].map((text) => element("th", { scope: "col", text })))));
    cells = {};
    for (const [name, words] of KEY) {
      cells[name] = ["mean", "bias", "sd"].map((kind) => element("td", { "data-cell": `${name}-${kind}` }));
      made.append(element("tr", {}, element("th", { scope: "row" }, element("span", { class: `mark ${name}` }), ` ${words}`), ...cells[name]));
    }
    return made;
  }

  return {
    build(area) {
      mean = new Plot(area, { tells: true, title: "Mean", xlabel: "temperature λ", ylabel: "gradient, cost per unit of l",
        key: [...KEY.slice(1), ["exact", "exact"]] });
      noise = new Plot(area, { tells: true, title: "Noise of one estimate", xlabel: "temperature λ", ylabel: "standard deviation", key: KEY });
      area.append(table());
      cost = new Plot(area, { title: "The cost (b − c)²", xlabel: "b", ylabel: "cost", height: 200,
        key: [["corner", "the two values that count"], ["concrete", "what relaxations see as well"]] });
      cost.figure.classList.add("wide");
    },

    draw(frame) {
      const { temperature, target } = frame.settings;
      const of = Object.fromEntries(frame.estimators.map((one) => [one.name, one]));
      for (const { name, mean: average, bias, sd } of frame.estimators) {
        const [first, second, third] = cells[name];
        first.textContent = signed(average);
        second.textContent = bias === 0 ? "0, exactly" : signed(bias);
        second.className = bias === 0 ? "still" : "";
        third.textContent = short(sd);
      }
      const at = frame.temperatures.map(Math.log10);
      const now = Math.log10(temperature);
      const x = { x: [at[0], at.at(-1)], xticks: TICKS, xname: (power) => short(10 ** power) };
      const flat = (value) => at.map(() => value);
      const means = frame.estimators.map((one) => one.mean);
      const every = [0, frame.exact, ...means, ...frame.curves.concrete.mean];
      mean.note.textContent = `exact ${signed(frame.exact)}`;
      mean.show({ ...x, y: axis.around(Math.min(...every), Math.max(...every)),
        words: frame.estimators.map((one) => `${one.title} ${signed(one.mean)}`).join(", ") + `; exact ${signed(frame.exact)}, at λ = ${short(temperature)}.` }, (plot) => {
        plot.line(at, flat(of["straight-through"].mean), "straight-through");
        plot.line(at, frame.curves.concrete.mean, "concrete");
        plot.line(at, frame.curves.rebar.mean, "rebar");
        plot.horizontal(frame.exact, "exact");
        for (const name of ["straight-through", "concrete", "rebar"]) plot.dots([[now, of[name].mean]], `big ${name}`);
      });
      const log = (sd) => Math.log10(Math.max(sd, LEAST));
      noise.note.textContent = `λ = ${short(temperature)}`;
      noise.show({ ...x, y: [log(LEAST) - 0.05, 0], yname: (power) => short(10 ** power),
        words: frame.estimators.map((one) => `${one.title} ${short(one.sd)}`).join(", ") + ` at λ = ${short(temperature)}.` }, (plot) => {
        for (const name of ["score-function", "straight-through"]) plot.line(at, flat(log(of[name].sd)), name);
        for (const name of ["concrete", "rebar"]) plot.line(at, frame.curves[name].sd.map(log), name);
        for (const [name] of KEY) plot.dots([[now, log(of[name].sd)]], `big ${name}`);
      });
      cost.note.textContent = `c = ${fixed(target, 2)}, p = ${fixed(frame.p, 3)}`;
      cost.show({ x: [-0.05, 1.05], y: [0, 1.05], xticks: [0, 0.5, 1],
        words: `At b = 0 it is ${fixed(frame.cost[0], 3)}, at b = 1 ${fixed(frame.cost.at(-1), 3)}; the bit is 1 with probability ${fixed(frame.p, 3)}.` }, (plot) => {
        plot.line(frame.b, frame.cost, "concrete");
        plot.dots([[0, frame.cost[0]], [1, frame.cost.at(-1)]], "big corner");
      });
    },
  };
})());

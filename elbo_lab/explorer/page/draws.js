// Tab `draws`: the bound of M draws against log p(x), and the signal-to-noise ratio of its gradients.
"use strict";

Explorer.part("draws", (() => {
  const { Plot, Axis, element, fixed, short } = Explorer;
  const axis = new Axis(0.1);
  const LEAST = 0.01; // of the ratios in the picture
  const KEY = { "iwae-theta": "in theta", dreg: "in phi, doubly reparameterized", "iwae-reparameterization": "in phi, plain pathwise" };
  let bounds, ratios, numbers;

  const number = (key, words) => element("div", {}, element("b", { "data-number": key }), element("span", { text: words }));

  return {
    build(area) {
      numbers = element("div", { class: "big" }, number("gap", "nats, log p(x) − bound of M draws (exact)"),
        number("plain", "signal to noise, plain pathwise in phi"), number("doubly", "signal to noise, doubly reparameterized"));
      area.append(numbers);
      bounds = new Plot(area, { title: "The bound of M draws", xlabel: "draws M", ylabel: "nats",
        key: [["elbo", "bound, exact (M = 1: ELBO)"], ["exact", "log p(x), exact"]] });
      ratios = new Plot(area, { tells: true, title: "Signal to noise", xlabel: "draws M", ylabel: "|mean| / standard deviation",
        key: Object.entries(KEY) });
    },

    draw(frame) {
      const say = (key, text) => { numbers.querySelector(`[data-number=${key}]`).textContent = text; };
      const of = Object.fromEntries(frame.ratios.map((one) => [one.name, one]));
      say("gap", fixed(frame.log_p - frame.bound));
      say("plain", short(of["iwae-reparameterization"].now));
      say("doubly", short(of.dreg.now));
      const at = frame.counts.map(Math.log2);
      const now = Math.log2(frame.draws);
      const x = { x: [0, at.at(-1)], xticks: at, xname: (power) => String(2 ** power) };
      bounds.note.textContent = `M = ${frame.draws}: ${fixed(frame.bound)} nats`;
      bounds.show({ ...x, y: axis.holding(frame.bounds[0], frame.log_p), words: frame.words }, (plot) => {
        plot.line(at, frame.bounds, "elbo");
        plot.horizontal(frame.log_p, "exact");
        plot.dots([[now, frame.bound]], "big elbo");
      });
      const log = (ratio) => Math.log10(Math.max(ratio, LEAST));
      const top = Math.max(1, Math.ceil(Math.max(...frame.ratios.flatMap((one) => one.curve.map(log)))));
      ratios.note.textContent = `M = ${frame.draws}`;
      ratios.show({ ...x, y: [log(LEAST) - 0.1, top], yname: (power) => (Number.isInteger(power) ? short(10 ** power) : ""),
        words: frame.ratios.map((one) => `${KEY[one.name]}: ${short(one.curve[0])} at M = 1, ${short(one.now)} at M = ${frame.draws}, ${short(one.curve.at(-1))} at M = ${frame.counts.at(-1)}`).join("; ") }, (plot) => {
        for (const { name, curve, now: ratio } of frame.ratios) {
          plot.line(at, curve.map(log), name);
          plot.dots([[now, log(ratio)]], `big ${name}`);
        }
      });
    },
  };
})());

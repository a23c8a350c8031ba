// Tab `prior`: estimates of log p(x) from draws of the prior, and how many draws it takes.
"use strict";

Explorer.part("prior", (() => {
  const { Plot, Axis, element, signed, count, short } = Explorer;
  const axis = new Axis(1.0);
  const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const GOLDEN = 0.618034; // spreads dots evenly without chance
  let estimates, needed, numbers;

  const power = (value) => "10" + [...String(value)].map((digit) => SUPERSCRIPTS[digit]).join("");
  const number = (key, words) => element("div", {}, element("b", { "data-number": key }), element("span", { text: words }));

  return {
    build(area) {
      numbers = element("div", { class: "big" }, number("off", "nats, median of log p-hat − log p(x)"),
        number("effective", "draws that count (effective number)"), number("needed", "draws needed for 0.1 nats (exact)"));
      area.append(numbers);
      estimates = new Plot(area, { title: "Estimates of log p(x)", xlabel: "log p-hat, nats", yticks: false,
        key: [["prior-monte-carlo", "one estimate from S draws"], ["exact", "log p(x), exact"]] });
      needed = new Plot(area, { tells: true, title: "Draws needed for 0.1 nats", xlabel: "latent dimension K", ylabel: "draws",
        key: [["exact", "exact"], ["prior-monte-carlo", "the S you chose"]] });
    },

    draw(frame) {
      const say = (key, text) => { numbers.querySelector(`[data-number=${key}]`).textContent = text; };
      say("off", signed(frame.off, 3));
      say("effective", `${short(frame.effective)} of ${count(frame.draws)}`);
      say("needed", count(10 ** frame.log10_needed));
      const sorted = [...frame.estimates].sort((a, b) => a - b);
      const low = Math.min(sorted[Math.floor(0.02 * sorted.length)], frame.log_p - 0.5);
      const x = axis.holding(low, Math.max(sorted.at(-1), frame.log_p));
      estimates.note.textContent = `${frame.estimates.length} estimates`;
      estimates.show({ x, y: [0, 1], words: frame.words }, (plot) => {
        plot.dots(frame.estimates.map((value, i) => [value, 0.08 + 0.84 * ((i * GOLDEN) % 1)]), "prior-monte-carlo");
        plot.vertical(frame.log_p, "exact");
      });
      const K = frame.curve.map((_, i) => i + 1);
      needed.note.textContent = `K = ${frame.latents}`;
      needed.show({ x: [1, K.length], y: [0, Math.ceil(frame.curve.at(-1)) + 1], yname: power,
        words: `At K = ${frame.latents} it takes ${count(10 ** frame.log10_needed)} draws; you chose ${count(frame.draws)}.` }, (plot) => {
        plot.line(K, frame.curve, "exact");
        plot.horizontal(Math.log10(frame.draws), "prior-monte-carlo");
        plot.dots([[frame.latents, frame.log10_needed]], "big");
      });
    },
  };
})());

// Tab `bound`: densities, the sum of ELBO and gap, and what the last move changed.
"use strict";

Explorer.part("bound", (() => {
  const { Plot, Axis, Changes, fixed } = Explorer;
  const ROWS = [["log_p", "log p(x)", "exact"], ["elbo", "ELBO", "elbo"], ["gap", "gap = KL(q || posterior)", "gap"]];
  const MOST = 200; // moves in the trace; a slider on its way is one
  const axis = new Axis(1.0);
  let densities, sum, trace, changes;
  let past = [];

  return {
    build(area) {
      sum = new Plot(area, { title: "ELBO + gap = log p(x)", xlabel: "nats", height: 118, yticks: false,
        key: [["elbo", "ELBO"], ["gap", "gap"], ["exact", "log p(x)"]] });
      sum.figure.classList.add("wide");
      densities = new Plot(area, { title: "Densities of z", xlabel: "z", ylabel: "density",
        key: [["q", "q, which you move"], ["exact", "posterior, exact"]] });
      trace = new Plot(area, { title: "Moves so far", xlabel: "moves", ylabel: "nats",
        key: [["exact", "log p(x)"], ["elbo", "ELBO"]] });
      changes = new Changes(area, "bound", "What the last move changed, in nats", ROWS);
    },

    draw(frame, change) {
      changes.show(frame, change.fresh);
      if (change.fresh) past.push(frame);
      else past[past.length - 1] = frame;
      if (past.length > MOST) past = past.slice(-MOST);
      sum.note.textContent = `${fixed(frame.elbo)} + ${fixed(frame.gap)} = ${fixed(frame.log_p)} nats`;
      const x = axis.holding(frame.elbo, frame.log_p);
      sum.show({ x, y: [0, 1], words: frame.words }, (plot) => {
        plot.bar(x[0], frame.elbo, 0.1, 0.75, "elbo");
        plot.bar(frame.elbo, frame.log_p, 0.1, 0.75, "gap");
        plot.vertical(frame.log_p, "exact");
      });
      const top = Math.max(1, Math.ceil(1.1 * Math.max(...frame.posterior, ...frame.q)));
      const { mean, sd } = frame.settings;
      densities.show({ x: [frame.z[0], frame.z.at(-1)], y: [0, top],
        words: `q is normal with mean ${fixed(mean, 3)} and standard deviation ${fixed(sd, 3)}. ${frame.words}` }, (plot) => {
        plot.area(frame.z, frame.q, "q");
        plot.line(frame.z, frame.q, "q");
        plot.line(frame.z, frame.posterior, "exact");
      });
      const moves = past.map((_, i) => i);
      const every = past.flatMap((one) => [one.elbo, one.log_p]);
      const low = Math.min(...every);
      const high = Math.max(...every);
      const room = 0.12 * (high - low || 1);
      trace.show({ x: [0, Math.max(10, past.length - 1)], y: [low - room, high + room],
        words: `${past.length - 1} moves; log p(x) was ${fixed(past[0].log_p)} at first and is ${fixed(frame.log_p)} now.` }, (plot) => {
        plot.line(moves, past.map((one) => one.log_p), "exact");
        plot.line(moves, past.map((one) => one.elbo), "elbo");
      });
    },
  };
})());

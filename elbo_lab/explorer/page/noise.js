// Tab `noise`: one cloud of single estimates for each estimator, all to one scale.
"use strict";

Explorer.part("noise", (() => {
  const { Plot, element, fixed, short } = Explorer;
  const plots = {};
  let area;

  return {
    build(pictures) {
      area = element("div", { class: "clouds" });
      const key = element("div", { class: "key" }, element("span", { class: "entry", text: "a dot: one estimate" }),
        element("span", { class: "entry" }, element("b", { text: "+" }), " exact gradient"),
        element("span", { class: "entry", text: "one scale for all five" }));
      pictures.append(key, area);
    },

    draw(frame) {
      const [right, up] = frame.exact;
      const width = frame.half_width;
      for (const { name, title, draws, evaluations, variance, dots } of frame.clouds) {
        plots[name] ||= new Plot(area, { title: title[0].toUpperCase() + title.slice(1), xlabel: "d / d mean", ylabel: "d / d log sd", height: 230 });
        const plot = plots[name];
        const said = variance < 1e-12 ? "0" : short(variance);
        plot.note.textContent = `variance ${said}, ${draws} draws`;
        plot.show({ x: [right - width, right + width], y: [up - width, up + width],
          words: `${draws} draws, ${evaluations} evaluations an estimate: variance ${said} around the exact gradient (${fixed(right, 3)}, ${fixed(up, 3)}).` }, (to) => {
          to.dots(dots, name);
          to.cross(right, up, "exact cross");
        });
      }
    },
  };
})());

// Frames without a server: from tables over the values of the sliders, which scripts beside this one hold.
// `elbo_lab.explorer.recorded` writes them, and adds this file to the page.
"use strict";

(() => {
  const tables = {};
  Explorer.record = (name, table) => { tables[name] = table; };

  function load(file, name) {
    if (tables[name]) return tables[name];
    return new Promise((done, failed) => {
      const script = Explorer.element("script", { src: file, onload: () => done(tables[name]), onerror: () => failed(new Error(`${file} is missing beside this page.`)) });
      document.head.append(script);
    });
  }

  const nearest = (values, value) => values.reduce((best, one, i) => (Math.abs(one - value) < Math.abs(values[best] - value) ? i : best), 0);
  const flat = (sizes, at) => sizes.reduce((index, size, i) => index * size + at[i], 0);

  function assembled(node, sizes, at) {
    if (node.keys) return Object.fromEntries(Object.entries(node.keys).map(([key, one]) => [key, assembled(one, sizes, at)]));
    if (node.items) return node.items.map((one) => assembled(one, sizes, at));
    return node.values[flat(node.over.map((axis) => sizes[axis]), node.over.map((axis) => at[axis]))];
  }

  Object.assign(Explorer.source, {
    described: () => load("frames.js", ""),
    async frame(tab, settings, take) {
      const { grid, frame, moves } = await load(`frames-${tab}.js`, tab);
      const names = Object.keys(grid);
      const sizes = names.map((name) => grid[name].length);
      let at = names.map((name) => nearest(grid[name], settings[name]));
      if (take) at = moves[take][flat(sizes, at)];
      const here = Object.fromEntries(names.map((name, i) => [name, grid[name][at[i]]]));
      return { ...assembled(frame, sizes, at), settings: here };
    },
  });
})();

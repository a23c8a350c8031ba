// Under a figure that moves: a button that stops it and lets it run, and a slider from frame to frame.
// CSS inside the figure moves it (elbo_lab/plots/motion.py); this only sets its clock.

for (const box of document.querySelectorAll(".motion")) {
  const svg = box.querySelector("svg");
  const starts = [0];
  for (const seconds of svg.querySelector("style").dataset.seconds.split(" "))
    starts.push(starts.at(-1) + 1000 * Number(seconds));
  const whole = starts.pop();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const button = document.createElement("button");
  button.type = "button";
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 1, max: starts.length, value: starts.length });
  slider.setAttribute("aria-label", "frame of the figure");
  const controls = document.createElement("span");
  controls.className = "motion-controls";
  controls.append(button, slider);
  box.append(controls);

  const clocks = () => svg.getAnimations({ subtree: true });
  const runs = () => (box.dataset.play || (still ? "off" : "on")) === "on";
  const say = () => (button.textContent = runs() ? "Pause" : "Play");
  const follow = () => {
    if (!runs() || !clocks().length) return;
    const now = clocks()[0].currentTime % whole;
    slider.value = starts.filter((start) => start <= now).length;
  };
  button.addEventListener("click", () => {
    box.dataset.play = runs() ? "off" : "on";
    say();
  });
  slider.addEventListener("input", () => {
    box.dataset.play = "off";
    say();
    // A little after the start of the frame: at the start itself rounding would show the one before.
    for (const clock of clocks()) clock.currentTime = starts[slider.value - 1] + 1;
  });
  say();
  setInterval(follow, 200);
}

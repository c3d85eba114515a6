// The page is whole without this: the development grids then stand one below another, and details open by hand.
for (const box of document.querySelectorAll(".development")) {
  const steps = [...box.querySelectorAll(".step")];
  const slider = box.querySelector("input");
  if (steps.length < 2) continue;
  const show = () => {
    steps.forEach((step, i) => step.classList.toggle("now", i === +slider.value));
    slider.setAttribute("aria-valuetext", steps[slider.value].dataset.label);
    box.querySelector("output").textContent = steps[slider.value].dataset.label;
  };
  box.classList.add("slides");
  slider.addEventListener("input", show);
  show();
}
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((d) => (d.open = true));
});
addEventListener("afterprint", () => opened.forEach((d) => (d.open = false)));

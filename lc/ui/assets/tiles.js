// The tiles' program: Gradio calls it with element, trigger, props, server, upload and watch.
const fixed = FIXED; // the page puts it here, see desk.py
const t = fixed.labels;
const slider = (name, low, high, from, to, note = "") => `
  <label class="lc-slider"><b>${escaped(t[name])}</b>
    <input type="range" data-slider="${name}" min="${from}" max="${to}" step="0.05" aria-label="${escaped(t[name])}">
    <span><small>${escaped(low)}</small><small>${escaped(high)}</small></span>${note}</label>`;

element.firstElementChild.innerHTML = `
  <div class="lc-tiles" role="group" aria-label="${escaped(t.tiles)}">
    ${fixed.attributes.map(({ name }) => `<button type="button" class="lc-tile" data-name="${escaped(name)}"
      aria-pressed="false"><span class="lc-thumb"><img alt="" hidden></span><b></b><small></small></button>`).join("")}
  </div>
  <div class="lc-tune">
    ${slider("identity", t.identity_low, t.identity_high, 0, 1,
      `<small class="lc-still-drawn" id="lc-drawn" hidden>${escaped(t.identity_still)}</small>`)}
    ${slider("strength", t.strength_low, t.strength_high, 0.55, 1)}
    <fieldset class="lc-method"><legend>${escaped(t.method)}</legend>
      ${["actor", "optimise"].map((way) => `<label><input type="radio" name="lc-method" value="${way}"
        ><span>${escaped(t[way])}</span></label>`).join("")}</fieldset>
    <div class="lc-live"><button type="button" class="lc-button" data-live="stop" hidden>${escaped(t.stop)}</button>
      <button type="button" class="lc-button" data-live="film" hidden>${escaped(t.film)}</button>
      <div class="lc-energies"></div></div>
  </div>`;
const find = (selector) => element.querySelector(selector);
let filled = "", known = {};

function tap(attribute) {
  if (!attribute || !lc.wish) return;
  const { boxes } = lc.wish, { name } = attribute;
  delete lc.wish.more?.[name];
  lc.wish.boxes = boxes.includes(name) ? boxes.filter((box) => box !== name)
    : [...boxes.filter((box) => !attribute.excludes.includes(box)), name];
  lc.change();
  show();
}
lc.tap = (place) => tap(fixed.attributes[place]);

function show() {
  const { seen = [], face_key: key } = lc.state, { boxes = [] } = lc.wish ?? {};
  const made = known.face_key === key ? known.tiles : {};
  for (const attribute of fixed.attributes) {
    const { name, title, on, off } = attribute, tile = find(`[data-name="${CSS.escape(name)}"]`);
    const has = seen.includes(name), now = boxes.includes(name);
    // What another change has switched off by the way is not marked: nobody asked for it.
    const byTheWay = has && !now && fixed.attributes.some((other) => boxes.includes(other.name)
      && !seen.includes(other.name) && other.excludes.includes(name));
    const words = has ? off : on, note = made[name]?.note ?? "";
    tile.querySelector("b").textContent = words || title;
    const asked = has !== now && !byTheWay;
    tile.querySelector("small").textContent = note && !asked ? note : words ? "" : (asked ? now : has) ? t.yes : t.no;
    tile.setAttribute("aria-pressed", asked);
    tile.classList.toggle("lc-dim", Boolean(note));
    const picture = tile.querySelector("img");
    picture.hidden = !made[name];
    if (made[name] && picture.src !== made[name].image) picture.src = made[name].image;
  }
  const { identity = 0.5, strength = 1, method = "actor" } = lc.wish ?? {};
  const tune = find("[data-slider=identity]"), drawn = Boolean(lc.state.drawn) && !lc.state.walking;
  tune.value = 1 - identity;
  tune.closest("label").classList.toggle("lc-faint", drawn);
  find("#lc-drawn").hidden = !drawn;
  if (drawn) tune.setAttribute("aria-describedby", "lc-drawn");
  else tune.removeAttribute("aria-describedby");
  find("[data-slider=strength]").value = strength;
  find(`[value=${method}]`).checked = true;
  find("[data-live=stop]").hidden = !lc.state.walking;
  find("[data-live=film]").hidden = lc.state.walking || !lc.state.animation;
  find(".lc-energies").innerHTML = lc.state.energies ?? "";
  // Another tab ends the filling, which begins anew when somebody comes back.
  // The stage's program knows without laying the page out.
  const full = Object.keys(made).length === fixed.attributes.length, here = lc.there ?? element.offsetParent !== null;
  if (!here) filled = "";
  else if (key && key !== filled && lc.state.before) {
    filled = key;
    if (!full) trigger("fill", { index: null });
  }
}

element.addEventListener("click", (event) => {
  const tile = event.target.closest("[data-name]"), live = event.target.closest("[data-live]");
  if (tile) tap(fixed.attributes.find(({ name }) => name === tile.dataset.name));
  if (live) lc[live.dataset.live]();
});
function slide(input) {
  const value = Number(input.value);
  if (input.dataset.slider === "identity") lc.wish.identity = Math.round(100 * (1 - value)) / 100;
  else lc.wish.strength = value;
  lc.change();
}
for (const input of element.querySelectorAll("[data-slider]")) {
  input.addEventListener("change", () => { if (lc.wish) slide(input); });
  input.addEventListener("keydown", (event) => { if (event.key === "Enter" && lc.wish) slide(input); });
}
for (const input of element.querySelectorAll("[name=lc-method]")) {
  input.addEventListener("change", () => {
    if (!lc.wish) return;
    lc.wish.method = input.value;
    lc.change();
  });
}
lc.hear.push(show);
function take() {
  known = JSON.parse(props.value || "{}");
  show();
}
watch("value", take);
take();

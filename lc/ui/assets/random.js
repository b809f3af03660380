// The program of the tab "Random faces": Gradio calls it with element, trigger, props, server, upload and watch.
const fixed = FIXED; // the page puts it here, see desk.py
const t = fixed.labels;
const address = (path) => (/^(data|blob):/.test(path) ? path : `${root}/gradio_api/file=${path}`);
const STATES = ["any", "yes", "no", "either"];
const asked = {};
let faces = [], chosen = 0, other = null, morphing = false, frames = [], waiting = false, again = false, timer = 0;

element.firstElementChild.innerHTML = `
  <p class="lc-hint">${escaped(t.intro)}</p>
  <div class="lc-random">
    <div class="lc-ask">
      <div class="lc-chips" role="group" aria-label="${escaped(t.asked)}"></div>
      <details class="lc-more"><summary>${escaped(t.more)}</summary><div class="lc-chips"></div></details>
      <label class="lc-slider"><b>${escaped(t.count)} <output>8</output></b>
        <input type="range" data-field="count" min="1" max="${fixed.most}" value="8" aria-label="${escaped(t.count)}"></label>
      <fieldset class="lc-method"><legend>${escaped(t.realism)}</legend>
        ${[["on", t.on], ["off", t.off], ["both", t.both_ways]].map(([way, words]) => `<label><input type="radio"
          name="lc-realism" value="${way}" ${way === "on" ? "checked" : ""}><span>${escaped(words)}</span></label>`).join("")}</fieldset>
      <div class="lc-seed"><label class="lc-name"><b>${escaped(t.seed)}</b><input type="text" data-field="seed" value="0"
        inputmode="numeric" maxlength="19" autocomplete="off"></label>
        <button type="button" class="lc-button" data-do="dice">${escaped(t.dice)}</button>
        <button type="button" class="lc-button lc-main" data-do="make">${escaped(t.make)}</button></div>
    </div>
    <div class="lc-made">
      <div class="lc-line" role="status"></div>
      <div class="lc-crowd" role="group" aria-label="${escaped(t.faces)}"><div class="lc-busy" hidden></div></div>
      <div class="lc-actions" hidden><button type="button" class="lc-button lc-main" data-do="edit">${escaped(t.edit)}</button>
        <button type="button" class="lc-button" data-do="save">${escaped(t.save)}</button>
        <button type="button" class="lc-button" data-do="morph" aria-pressed="false">${escaped(t.morph)}</button></div>
      <section class="lc-morph" hidden aria-label="${escaped(t.between)}"><p class="lc-hint">${escaped(t.morph_hint)}</p>
        <div class="lc-between"><img alt="${escaped(t.between)}"><img alt=""></div>
        <label class="lc-slider"><input type="range" data-field="way" min="0" max="1" step="0.005" value="0.5"
          aria-label="${escaped(t.between)}"></label>
        <button type="button" class="lc-button" data-do="film">${escaped(t.film)}</button></section>
    </div>
  </div>`;
const find = (selector) => element.querySelector(selector);
const field = (name) => find(`[data-field=${name}]`);
const [own, further] = element.querySelectorAll(".lc-chips");

// --- asking ---------------------------------------------------------------------------------------------------------

function busy(on) {
  clearTimeout(timer);
  if (on) timer = setTimeout(() => { find(".lc-busy").hidden = false; }, 300);
  else find(".lc-busy").hidden = true;
}
// Of several choices made while faces are on their way, the last counts.
function make() {
  if (waiting) { again = true; return; }
  const lone = Object.values(asked).filter((state) => state === "either").length === 1;
  if (lone) return say(`<p class="lc-status">${escaped(t.lone)}</p>`);
  waiting = true;
  busy(true);
  lc.given.make = [Number(field("count").value), field("seed").value, find("[name=lc-realism]:checked").value, { ...asked }];
  trigger("make", { index: null });
}
function say(line) {
  find(".lc-line").innerHTML = line;
}
function morph() {
  if (other === null || other === chosen) other = (chosen + 1) % faces.length;
  lc.given.morph = [chosen, other];
  busy(true);
  marks();
  trigger("morph", { index: null });
}
const DO = {
  make,
  dice: () => { field("seed").value = Math.floor(Math.random() * 1_000_000); make(); },
  edit: () => { lc.given.edit_face = [chosen]; lc.touched = true; lc.busy?.(true); trigger("edit_face", { index: null }); },
  save: () => { lc.given.save_face = [chosen]; trigger("save_face", { index: null }); },
  film: () => { lc.given.save_morph = [chosen, other]; trigger("save_morph", { index: null }); },
  morph: () => {
    morphing = !morphing && faces.length > 1;
    if (morphing) morph();
    else { other = null; marks(); }
  },
};

// --- what is shown --------------------------------------------------------------------------------------------------

function chips() {
  const known = new Set([...fixed.attributes, ...(lc.entries ?? [])].map(({ name }) => name));
  for (const name of Object.keys(asked)) if (!known.has(name)) delete asked[name];
  const rows = [[own, fixed.attributes], [further, lc.entries ?? []]];
  for (const [place, all] of rows) {
    place.replaceChildren(...all.map(({ name, title }) => {
      const state = asked[name] ?? "any", chip = document.createElement("button");
      chip.type = "button";
      chip.className = `lc-chip lc-${{ yes: "require", no: "forbid" }[state] ?? state}`;
      chip.dataset.chip = name;
      chip.innerHTML = `<b>${escaped(title)}</b><small>${escaped(t[state])}</small>`;
      chip.onclick = () => {
        const next = STATES[(STATES.indexOf(state) + 1) % STATES.length];
        if (next === "any") delete asked[name];
        else asked[name] = next;
        chips();
        find(`[data-chip="${CSS.escape(name)}"]`)?.focus();
        make();
      };
      return chip;
    }));
  }
}

function crowd() {
  const place = find(".lc-crowd"), line = place.querySelector(".lc-busy");
  place.replaceChildren(...faces.map((face, i) => {
    const tile = document.createElement("button"), seen = view.asks ? (face.holds ? t.holds : t.lacks) : "";
    tile.type = "button";
    tile.className = "lc-face-tile";
    tile.dataset.face = i;
    tile.setAttribute("aria-label", [t.face.replace("{number}", i + 1), seen].filter(Boolean).join(": "));
    tile.innerHTML = `<img alt="" src="${address(face.image)}">`
      + (face.plain ? `<img alt="" title="${escaped(t.plain)}" src="${address(face.plain)}">` : "")
      + (view.asks ? `<i class="${face.holds ? "ok" : "warn"}" aria-hidden="true">${face.holds ? "\u2713" : "\u2717"}</i>` : "");
    tile.classList.toggle("lc-pair", Boolean(face.plain));
    tile.onclick = () => {
      if (!morphing) chosen = i;
      else if (i !== chosen) { other = i; morph(); }
      marks();
    };
    return tile;
  }), line);
  marks();
}
function marks() {
  for (const tile of element.querySelectorAll("[data-face]")) {
    const i = Number(tile.dataset.face);
    tile.setAttribute("aria-pressed", i === chosen || (morphing && i === other));
  }
  find(".lc-made .lc-actions").hidden = !faces.length;
  find("[data-do=morph]").setAttribute("aria-pressed", morphing);
  find("[data-do=morph]").hidden = faces.length < 2;
  find(".lc-morph").hidden = !morphing || !frames.length;
}
// Between two faces that are there, one fades into the other.
function way() {
  if (!frames.length) return;
  const at = Number(field("way").value) * (frames.length - 1), first = Math.min(Math.floor(at), frames.length - 1);
  const [under, over] = element.querySelectorAll(".lc-between img");
  under.src = frames[first];
  over.src = frames[Math.min(first + 1, frames.length - 1)];
  over.style.opacity = at - first;
}
let view = {};
function hear() {
  const value = props.value;
  if (!value) return;
  busy(false);
  if (value.morph) {
    frames = value.morph.frames.map(address);
    frames.forEach((path) => { new Image().src = path; });
    marks();
    way();
    return;
  }
  waiting = false;
  say(value.failed ?? value.status);
  if (!value.failed) {
    view = value;
    faces = value.faces;
    [chosen, other, morphing, frames] = [Math.min(chosen, faces.length - 1), null, false, []];
    crowd();
  }
  if (again) { again = false; make(); }
}

// --- what somebody does ---------------------------------------------------------------------------------------------

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) DO[button.dataset.do]();
});
field("count").addEventListener("input", (event) => { find(".lc-slider output").textContent = event.target.value; });
field("count").addEventListener("change", make);
field("seed").addEventListener("keydown", (event) => { if (event.key === "Enter") make(); });
field("way").addEventListener("input", way);
for (const input of element.querySelectorAll("[name=lc-realism]")) input.addEventListener("change", make);
(lc.entriesChanged ??= []).push(chips);
chips();
watch("value", hear);
// Nobody meets an empty tab, and nobody waits for faces that are not looked at.
new IntersectionObserver((seen, watcher) => {
  if (!seen.some((one) => one.isIntersecting)) return;
  watcher.disconnect();
  if (!faces.length) make();
}).observe(element);
hear();

// The tiles beside those of the attributes: what was taught, and rules; and what must, must not, or is one of several.
const fixed = FIXED; // the page puts it here, see desk.py
const t = fixed.labels;
const made = {}; // thumbnails by face and name
const asked = new Set(); // what has been asked for already, likewise
let entries = [], filled = null;

const block = document.createElement("div");
block.className = "lc-beside";
block.innerHTML = `
  <div class="lc-tiles lc-taught" role="group" aria-label="${escaped(t.taught)}" hidden></div>
  <details class="lc-more"><summary>${escaped(t.more)}</summary>
    <div class="lc-tiles lc-rules" role="group" aria-label="${escaped(t.more)}"></div>
    <label class="lc-colour"><span>${escaped(t.colour)}</span><input type="color" value="#a0522d"></label>
  </details>
  <details class="lc-more lc-modes"><summary>${escaped(t.modes)}</summary>
    <p class="lc-hint">${escaped(t.modes_hint)}</p><div class="lc-chips"></div></details>`;
// They stand with the other tiles, before the sliders.
const tilesThere = document.querySelector("#tiles .lc-tiles");
if (tilesThere) tilesThere.after(block);
else element.firstElementChild.append(block);
const find = (selector) => block.querySelector(selector);
const [rules, modes] = block.querySelectorAll("details");
const wish = () => (lc.wish ? (lc.wish.more ??= {}) : {});

function set(name, mode) {
  if (!lc.wish) return;
  if (mode) wish()[name] = mode;
  else delete wish()[name];
  lc.change();
  show();
}

// --- tiles ----------------------------------------------------------------------------------------------------------

function tiles(place, some) {
  const now = wish(), pictures = made[lc.state.face_key] ?? {};
  for (const { name, title } of some) {
    let tile = place.querySelector(`[data-more="${CSS.escape(name)}"]`);
    if (!tile) {
      tile = document.createElement("button");
      tile.type = "button";
      tile.className = "lc-tile";
      tile.dataset.more = name;
      tile.innerHTML = `<span class="lc-thumb"><img alt="" hidden></span><b></b><small></small>`;
      place.append(tile);
    }
    const picture = tile.querySelector("img"), known = pictures[name];
    tile.querySelector("b").textContent = title;
    tile.querySelector("small").textContent = now[name] === "forbid" ? t.forbid : now[name] === "either" ? t.either
      : known?.note ?? "";
    tile.setAttribute("aria-pressed", Boolean(now[name]));
    tile.classList.toggle("lc-dim", Boolean(known?.note));
    picture.hidden = !known;
    if (known && picture.src !== known.image) picture.src = known.image;
  }
  const names = some.map(({ name }) => name);
  for (const tile of [...place.children]) if (!names.includes(tile.dataset.more)) tile.remove();
}

// Tiles are made when they can be seen, and once for each face.
function fill() {
  const key = lc.state.face_key;
  if (!key || !lc.state.before || lc.state.walking) return;
  const wanted = entries.filter(({ kind }) => kind === "taught" || rules.open)
    .map(({ name }) => name).filter((name) => !asked.has(`${key} ${name}`));
  if (!wanted.length) return;
  wanted.forEach((name) => asked.add(`${key} ${name}`));
  lc.given.fill_more = [wanted];
  trigger("fill_more", { index: null });
}

// --- must, must not, either of --------------------------------------------------------------------------------------

function states({ name, attribute }) {
  if (!attribute) return ["", "require", "forbid", "either"];
  return (lc.state.seen ?? []).includes(name) ? ["", "forbid", "either"] : ["", "require", "either"];
}
function stateOf({ name, attribute }) {
  if (!attribute || wish()[name]) return wish()[name] ?? "";
  const has = (lc.state.seen ?? []).includes(name), now = (lc.wish?.boxes ?? []).includes(name);
  return has === now ? "" : now ? "require" : "forbid";
}
function put(one, state) {
  if (!lc.wish) return;
  if (one.attribute) {
    const has = (lc.state.seen ?? []).includes(one.name), on = state === "require" || (has && state !== "forbid");
    lc.wish.boxes = lc.wish.boxes.filter((box) => box !== one.name);
    if (on) lc.wish.boxes.push(one.name);
  }
  set(one.name, state === "either" || !one.attribute ? state : "");
}
function chips() {
  const all = [...fixed.attributes.map((one) => ({ ...one, attribute: true })), ...entries];
  find(".lc-chips").replaceChildren(...all.map((one) => {
    const state = stateOf(one), chip = document.createElement("button");
    chip.type = "button";
    chip.className = `lc-chip lc-${state || "any"}`;
    chip.dataset.chip = one.name;
    chip.innerHTML = `<b>${escaped(one.title)}</b><small>${escaped(t[state || "any"])}</small>`;
    chip.onclick = () => {
      const some = states(one);
      put(one, some[(some.indexOf(state) + 1) % some.length]);
      find(`[data-chip="${CSS.escape(one.name)}"]`)?.focus();
    };
    return chip;
  }));
}

function show() {
  // What was forgotten can be asked for no more, though an edit on show may have it.
  const known = new Set([...entries, ...fixed.attributes].map(({ name }) => name));
  for (const name of Object.keys(wish())) if (!known.has(name) && !name.startsWith("hair_like_")) delete wish()[name];
  const taught = entries.filter(({ kind }) => kind === "taught");
  find(".lc-taught").hidden = !taught.length;
  tiles(find(".lc-taught"), taught);
  const colour = Object.keys(wish()).find((name) => name.startsWith("hair_like_") && !entries.some((one) => one.name === name));
  const extra = colour ? [{ name: colour, title: `${t.colour} #${colour.slice(10)}` }] : [];
  tiles(find(".lc-rules"), [...entries.filter(({ kind }) => kind === "rule"), ...extra]);
  if (modes.open) chips();
  for (const tile of document.querySelectorAll("#tiles [data-name]")) {
    tile.classList.toggle("lc-either", wish()[tile.dataset.name] === "either");
  }
  fill();
}

function hear() {
  const value = props.value;
  if (value?.failed) {
    if (block.offsetParent) lc.say?.(value.failed);
    filled?.();
    show();
    return;
  }
  if (value?.face_key) Object.assign((made[value.face_key] ??= {}), value.tiles);
  if (value?.entries) {
    entries = value.entries;
    lc.entries = entries;
    keep();
    filled?.();
    (lc.entriesChanged ?? []).forEach((change) => change());
  }
  show();
}

// --- this browser keeps what was taught, the server does not --------------------------------------------------------

let keeping = "";
async function keep() {
  const taught = entries.filter(({ file }) => file), now = taught.map(({ file }) => file).join();
  if (now === keeping) return;
  keeping = now;
  try {
    const files = await Promise.all(taught.map(async ({ name, file }) =>
      new File([await (await fetch(`${root}/gradio_api/file=${file}`)).blob()], `${name}.safetensors`)));
    (await store()).transaction("kept", "readwrite").objectStore("kept").put(files, "taught");
  } catch { /* a private window keeps nothing */ }
}
async function send(file) {
  const form = new FormData();
  form.append("files", file, file.name);
  const answer = await fetch(`${root}/gradio_api/upload`, { method: "POST", body: form });
  if (!answer.ok) throw new Error((await answer.json()).error);
  return { path: (await answer.json())[0], meta: { _type: "gradio.FileData" } };
}
// Files that were saved earlier, dropped on the page or kept by this browser.
lc.use = async (files) => {
  try {
    lc.given.use_taught = [await Promise.all(files.map(send))];
  } catch (error) {
    lc.say?.(error.message || t.no_upload);
    return;
  }
  const done = new Promise((resolve) => { filled = resolve; setTimeout(resolve, 5000); });
  trigger("use_taught", { index: null });
  await done;
  filled = null;
};
lc.bringTaught = async () => {
  try {
    const db = await store(), files = await new Promise((resolve) => {
      const request = db.transaction("kept").objectStore("kept").get("taught");
      request.onsuccess = () => resolve(request.result ?? []);
      request.onerror = () => resolve([]);
    });
    if (files.length) await lc.use(files);
  } catch { /* likewise */ }
};

block.addEventListener("click", (event) => {
  const tile = event.target.closest("[data-more]");
  if (tile) set(tile.dataset.more, wish()[tile.dataset.more] ? "" : "require");
});
rules.addEventListener("toggle", fill);
modes.addEventListener("toggle", show);
find("[type=color]").addEventListener("change", (event) => {
  for (const name of Object.keys(wish())) if (name.startsWith("hair_like_")) delete wish()[name];
  set(`hair_like_${event.target.value.slice(1)}`, "require");
});
lc.hear.push(show);
watch("value", hear);
hear();

// The program of the tab "Teach it": Gradio calls it with element, trigger, props, server, upload and watch.
const fixed = FIXED; // the page puts it here, see desk.py
const t = fixed.labels;
const SIDES = ["with", "without"];
let view = {}, running = 0, answered = null, ended = false, busy = "";
const waiting = new Set(); // names of those whose actor is to be trained, in turn
let training = null; // how far the one is that is trained now

const side = (name) => `
  <section class="lc-side" data-side="${name}" aria-label="${escaped(t[name])}">
    <h3>${escaped(t[name])} <output></output></h3><p class="lc-hint">${escaped(t[`${name}_hint`])}</p>
    <div class="lc-pupils"></div>
    <label class="lc-button"><input type="file" accept="image/*" multiple aria-label="${escaped(t.choose)}: ${escaped(t[name])}"
      >${escaped(t.choose)}</label>
    <div class="lc-over" hidden>${escaped(t.drop)}</div>
  </section>`;
element.firstElementChild.innerHTML = `
  <div class="lc-lesson">
    <p class="lc-hint">${escaped(t.intro)}</p>
    <label class="lc-name"><b>${escaped(t.name)}</b>
      <input type="text" maxlength="60" autocomplete="off" placeholder="${escaped(t.example)}"></label>
    <div class="lc-sides">${SIDES.map(side).join("")}</div>
    <p class="lc-left-out" hidden></p>
    <div class="lc-actions"><button type="button" class="lc-button lc-main" data-do="teach">${escaped(t.teach)}</button>
      <button type="button" class="lc-button" data-do="clear">${escaped(t.clear)}</button><span class="lc-gap"></span>
      <label class="lc-button"><input type="file" accept=".safetensors" multiple aria-label="${escaped(t.use)}"
        data-use>${escaped(t.use)}</label></div>
    <div class="lc-progress" hidden><progress max="1" value="0" aria-label="${escaped(t.progress)}"></progress>
      <span role="status"></span>
      <button type="button" class="lc-button" data-do="cancel">${escaped(t.cancel)}</button></div>
    <p class="lc-said" role="alert" hidden></p>
    <div class="lc-learned" aria-live="polite"></div>
  </div>`;
const find = (selector) => element.querySelector(selector);
const name = find(".lc-name input");

function say(sentence) {
  find(".lc-said").textContent = sentence;
  find(".lc-said").hidden = !sentence;
}
function wait(doing, part = null) {
  busy = doing;
  find(".lc-progress").hidden = !doing;
  find(".lc-progress span").textContent = doing;
  if (part === null) find("progress").removeAttribute("value");
  else find("progress").value = part;
  for (const control of element.querySelectorAll("button, input")) {
    control.disabled = Boolean(doing) && !["cancel", "rest"].includes(control.dataset.do) && control !== name;
  }
  if (!doing) show();
}

// --- asking ---------------------------------------------------------------------------------------------------------

// An answer may come in parts; the last is the one after which nothing comes for the same call.
function ask(event, values) {
  lc.given[event] = values;
  return new Promise((resolve) => {
    answered = resolve;
    trigger(event, { index: null });
  });
}
async function send(file) {
  const form = new FormData();
  form.append("files", file, file.name || "photo.png");
  const answer = await fetch(`${root}/gradio_api/upload`, { method: "POST", body: form });
  const said = await answer.json();
  if (!answer.ok) throw new Error(`${file.name}: ${said.error ?? t.no_upload}`);
  return { path: said[0], meta: { _type: "gradio.FileData" } };
}
async function add(files, where) {
  const taught = files.filter((file) => /\.safetensors$/i.test(file.name));
  if (taught.length) return lc.use?.(taught);
  files = files.filter((file) => file.type.startsWith("image/") || !file.type);
  if (!files.length || busy) return;
  const room = fixed.most - (view[where] ?? []).length;
  if (files.length > room) {
    say(t.too_many.replace("{count}", files.length.toLocaleString()).replace("{most}", fixed.most));
    return;
  }
  say("");
  ended = false;
  const mine = ++running;
  let done = 0;
  const progress = () => wait(t.reading.replace("{done}", done).replace("{count}", files.length), done / files.length);
  progress();
  for (let first = 0; first < files.length && !ended; first += fixed.at_once) {
    const some = files.slice(first, first + fixed.at_once), ready = [];
    for (const file of some) {
      try { ready.push(await send(file)); } catch (error) { say(error.message || t.no_upload); }
      if (ended) break;
    }
    if (ready.length && !ended && mine === running) {
      onRead = (read) => { done = first + read; if (!ended) progress(); };
      await ask("look_at", [ready, where]);
      onRead = null;
    }
    done = Math.min(files.length, first + some.length);
    if (!ended) progress();
  }
  wait("");
}
let onRead = null;
const count = (where) => (view[where] ?? []).length;

const DO = {
  teach: async () => {
    say("");
    view.latest = "";
    wait(t.learning);
    await ask("teach", [name.value]);
    wait("");
    train();
  },
  clear: () => ask("clear", []),
  cancel: () => {
    ended = true;
    running++;
    trigger("cancel_teaching", { index: null });
    answered?.();
    wait("");
  },
  rest,
};

// --- its actor is trained in the background ---------------------------------------------------------------------------

function train() {
  const latest = (view.taught ?? []).find((one) => one.name === view.latest && !one.actor);
  if (!latest) return;
  view.latest = "";
  waiting.add(latest.name);
  show();
  lc.given.train_actor = [latest.name, Date.now()];
  trigger("train_actor", { index: null });
}
function rest() {
  waiting.clear();
  training = null;
  show();
  lc.given.cancel_training = [Date.now()];
  trigger("cancel_training", { index: null });
}
function trains(one) {
  if (one.actor) return `<p class="lc-hint">${escaped(t.trained)}</p>`;
  if (!waiting.has(one.name)) return "";
  return `<div class="lc-training"><progress max="1" aria-label="${escaped(t.progress)}"></progress><span></span>
    <button type="button" class="lc-button" data-do="rest">${escaped(t.cancel)}</button></div>`;
}
function showTraining() {
  for (const card of element.querySelectorAll("[data-taught]")) {
    const place = card.querySelector(".lc-training"), mine = training?.name === card.dataset.taught;
    if (!place) continue;
    place.querySelector("span").textContent = mine ? t.training : t.turn;
    if (mine) place.querySelector("progress").value = training.done / training.total;
    else place.querySelector("progress").removeAttribute("value");
  }
}
// Of a training, which is no answer to what somebody waits for.
function hearTraining(value) {
  const { name, total } = value.training;
  if (value.failed) say(value.failed);
  if (name) {
    if (!total) waiting.delete(name);
  } else waiting.clear(); // it could not be
  training = waiting.has(name) ? value.training : null;
  if (value.taught) view.taught = value.taught;
  if (value.taught || !total) show();
  else showTraining();
}

// --- what is shown --------------------------------------------------------------------------------------------------

function show() {
  for (const where of SIDES) {
    const place = find(`[data-side=${where}]`), pupils = view[where] ?? [];
    place.querySelector("output").textContent = pupils.length || "";
    place.querySelector(".lc-pupils").replaceChildren(...pupils.map((pupil, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = `${pupil.name}: ${t.drop_one}`;
      button.setAttribute("aria-label", button.title);
      button.disabled = Boolean(busy);
      button.innerHTML = `<img alt="" src="${pupil.image}">`;
      button.onclick = () => ask("take_away", [where, i]);
      return button;
    }));
  }
  const left = view.left_out ?? [];
  find(".lc-left-out").hidden = !left.length;
  find(".lc-left-out").innerText = left.join("\n");
  if (!busy) find("[data-do=teach]").disabled = !count("with");
  find(".lc-learned").replaceChildren(...(view.taught ?? []).map((one) => {
    const card = document.createElement("article");
    card.className = `lc-card-taught ${one.good ? "ok" : "warn"}`;
    card.dataset.taught = one.name;
    card.innerHTML = `<h3>${escaped(one.title)}</h3><p>${escaped(one.said)}</p>
      ${trains(one)}<details class="lc-details"><summary>${escaped(t.details)}</summary><p>${escaped(one.figures)}</p></details>
      <div class="lc-actions"><button type="button" class="lc-button lc-main">${escaped(t.try)}</button>
      <button type="button" class="lc-button">${escaped(t.save)}</button>
      <button type="button" class="lc-button">${escaped(t.forget)}</button></div>`;
    const [first, save, forget] = card.querySelectorAll(".lc-actions button");
    first.onclick = () => {
      if (lc.wish) {
        (lc.wish.more ??= {})[one.name] = "require";
        lc.change();
      }
      trigger("try_taught", { index: null });
    };
    save.onclick = () => { lc.given.save_taught = [one.name]; trigger("save_taught", { index: null }); };
    forget.onclick = () => {
      if (lc.wish?.more) delete lc.wish.more[one.name];
      ask("forget_taught", [one.name]);
    };
    return card;
  }));
  showTraining();
  if (view.latest) find(".lc-learned").lastElementChild?.scrollIntoView({ block: "nearest" });
}

function hear() {
  const value = props.value;
  if (!value) return;
  if (value.read) {
    onRead?.(value.read);
    return;
  }
  if (value.training) {
    hearTraining(value);
    return;
  }
  if (value.failed) say(value.failed);
  else {
    view = { ...view, ...value };
    show();
  }
  answered?.();
}

// --- what somebody does ---------------------------------------------------------------------------------------------

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) DO[button.dataset.do]();
});
element.addEventListener("change", (event) => {
  const input = event.target, files = [...(input.files ?? [])];
  if (input.type !== "file") return;
  if ("use" in input.dataset) lc.use?.(files);
  else add(files, input.closest("[data-side]").dataset.side);
  input.value = "";
});
name.addEventListener("keydown", (event) => { if (event.key === "Enter" && !busy) DO.teach(); });
for (const where of SIDES) {
  const place = find(`[data-side=${where}]`), over = place.querySelector(".lc-over");
  for (const kind of ["dragenter", "dragover"]) {
    place.addEventListener(kind, (event) => { event.preventDefault(); over.hidden = false; });
  }
  place.addEventListener("dragleave", (event) => { if (!place.contains(event.relatedTarget)) over.hidden = true; });
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    over.hidden = true;
    add([...event.dataTransfer.files], where);
  });
}
// A file that lands beside the two sides must not take the page's place.
const here = () => element.offsetParent !== null;
document.addEventListener("dragover", (event) => { if (here()) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  if (!here()) return;
  event.preventDefault();
  add([...event.dataTransfer.files], "with");
});
watch("value", hear);
hear();

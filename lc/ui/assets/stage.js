// The stage's program, with keeping.js and gestures.js after it: Gradio calls it with element, trigger, props, server,
// upload and watch.
const fixed = FIXED; // the page puts it here, see desk.py
const t = fixed.labels;
const address = (path) => (/^(data|blob):/.test(path) ? path : `${root}/gradio_api/file=${path}`);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

element.firstElementChild.innerHTML = `
  <section class="lc-frame" aria-label="${escaped(t.stage)}">
    <img class="lc-after" alt="${escaped(t.after)}" title="${escaped(t.hold)}" draggable="false">
    <img class="lc-before" alt="${escaped(t.before)}" draggable="false">
    <span class="lc-tag lc-left" aria-hidden="true">${escaped(t.before)}</span>
    <span class="lc-tag lc-right" aria-hidden="true">${escaped(t.after)}</span>
    <div class="lc-divider" role="slider" tabindex="0" aria-label="${escaped(t.divider)}" aria-valuemin="0"
      aria-valuemax="100"><i></i></div>
    <div class="lc-faces"></div>
    <button type="button" class="lc-inset" aria-pressed="false"><img alt="" draggable="false"><i></i></button>
    <button type="button" class="lc-button lc-another" data-do="another" hidden>${escaped(t.another)}</button>
    <div class="lc-busy" hidden></div>
    <div class="lc-over" hidden>${escaped(t.drop)}</div>
    <div class="lc-snap" hidden><video autoplay playsinline muted></video>
      <div><button type="button" class="lc-button lc-main" data-do="snap">${escaped(t.snap)}</button>
      <button type="button" class="lc-button" data-do="unsnap">${escaped(t.cancel)}</button></div></div>
    <p class="lc-fault" role="alert" hidden></p>
  </section>
  <div class="lc-actions">
    <label class="lc-button lc-main"><input type="file" accept="image/*" aria-label="${escaped(t.upload)}"
      >${escaped(t.upload)}</label>
    <button type="button" class="lc-button" data-do="camera">${escaped(t.camera)}</button>
    <span class="lc-gap"></span>
    <button type="button" class="lc-button" data-do="undo">${escaped(t.undo)}</button>
    <button type="button" class="lc-button" data-do="redo">${escaped(t.redo)}</button>
    <button type="button" class="lc-button" data-do="reset">${escaped(t.reset)}</button>
    <span class="lc-gap"></span>
    <button type="button" class="lc-button lc-main" data-do="export">${escaped(t.download)}</button>
    <select class="lc-button" aria-label="${escaped(t.kind)}"><option value="PNG">PNG</option>
      <option value="JPEG">JPEG</option><option value="WEBP">WebP</option></select>
  </div>
  <div class="lc-history" role="group" aria-label="${escaped(t.history)}"></div>
  <details class="lc-details"><summary>${escaped(t.details)}</summary><div></div>
    <button type="button" class="lc-button" data-do="link">${escaped(t.link)}</button></details>
  <div class="lc-examples" role="group" aria-label="${escaped(t.examples)}"><span>${escaped(t.examples)}</span>
    ${fixed.examples.map((one, i) => `<button type="button" data-example="${i}" aria-label="${escaped(one.name)}">
      <img alt="" loading="lazy" src="${escaped(address(one.path))}"></button>`).join("")}</div>`;

const find = (selector) => element.querySelector(selector);
const frame = find(".lc-frame"), after = find(".lc-after"), before = find(".lc-before");
const divider = find(".lc-divider"), inset = find(".lc-inset"), fault = find(".lc-fault");
const another = find(".lc-another");
let whole = false, held = false, blob = null, timer = 0, turning = 0, stream = null;

// --- asking ---------------------------------------------------------------------------------------------------------

lc.busy = (on) => {
  clearTimeout(timer);
  if (on) timer = setTimeout(() => { find(".lc-busy").hidden = false; }, 300);
  else find(".lc-busy").hidden = true;
};
// Whatever changes the state ends what still runs for an older wish.
lc.ask = (name, values = [], index = null) => {
  lc.latest = Math.max(Date.now(), lc.latest + 1);
  stopTurning();
  lc.given.cancel = [lc.latest];
  if (lc.running) trigger("cancel", { index: null });
  lc.running = true;
  lc.given[name] = typeof values === "function" ? values(lc.latest) : values;
  lc.touched = true;
  say("");
  lc.busy(true);
  trigger(name === "change" ? "change_wish" : name, { index });
};
lc.change = () => {
  const { boxes, identity, strength, method, more, style } = lc.wish;
  lc.ask("change", (asked) => [boxes, identity, strength, method, asked, more ?? {}, style ?? 0]);
};
// Another tab: what is on its way ends, and what stood there before it stands there again. A photo still comes in.
lc.leave = () => {
  lc.latest = Math.max(Date.now(), lc.latest + 1);
  lc.given.leave = [lc.latest];
  trigger("leave", { index: null });
  if (!lc.settled) return;
  lc.state = lc.settled;
  lc.wish = wished(lc.state);
  lc.busy(false);
  look(false);
};
lc.stop = () => trigger("stop", { index: null });
lc.film = () => trigger("film", { index: null });

function say(sentence) {
  fault.textContent = sentence;
  fault.hidden = !sentence;
}
lc.say = say;

async function open(file) {
  if (!file) return;
  const form = new FormData();
  form.append("files", file, file.name || "photo.png");
  say("");
  stopTurning();
  lc.busy(true);
  let path = null;
  try {
    const answer = await fetch(`${root}/gradio_api/upload`, { method: "POST", body: form });
    const said = await answer.json();
    if (answer.ok) path = said[0];
    else say(said.error ?? t.no_upload);
  } catch {
    say(t.no_upload);
  }
  lc.busy(false);
  if (!path) return null;
  return { path, meta: { _type: "gradio.FileData" } };
}

async function openNew(file) {
  if (/\.safetensors$/i.test(file?.name)) return lc.use?.([file]);
  const upload = await open(file);
  if (!upload) return;
  arriving = file;
  lc.ask("open_upload", [upload]);
}
let arriving = null; // becomes the photo to keep once the server has found a face in it

// --- what is shown --------------------------------------------------------------------------------------------------

const inView = ([left, top, right, bottom]) => {
  const [a, b, c, d] = whole ? [0, 0, 1, 1] : lc.state.crop;
  return [(left - a) / (c - a), (top - b) / (d - b), (right - a) / (c - a), (bottom - b) / (d - b)];
};

function split(percent, wipe = false) {
  const place = Math.min(100, Math.max(0, percent));
  if (wipe && !calm.matches) {
    frame.classList.add("lc-still");
    frame.style.setProperty("--split", "100%");
    frame.offsetWidth; // the transition starts from here
  }
  frame.classList.toggle("lc-still", !wipe);
  frame.style.setProperty("--split", `${place}%`);
  divider.setAttribute("aria-valuenow", Math.round(place));
}

function rest() {
  const face = (lc.state.faces ?? []).find((one) => one.chosen);
  return face ? Math.max(6, 100 * inView(face.box)[0] - 9) : 12;
}

// A picture that is set again is decoded again.
function draw(image, path) {
  const place = address(path);
  if (image.getAttribute("src") !== place) image.src = place;
}

function look(wipe) {
  const s = lc.state;
  if (!s.before) return;
  const [width, height] = whole ? s.size : [1, 1];
  frame.style.setProperty("--ratio", width / height);
  frame.classList.toggle("lc-plain", s.at === 0 && !s.walking);
  draw(after, whole && !s.walking ? s.whole_after : s.after);
  draw(before, whole && !s.walking ? s.whole_before : s.before);
  frame.classList.toggle("lc-held", held);
  inset.setAttribute("aria-pressed", whole);
  inset.setAttribute("aria-label", whole ? t.close : t.whole);
  inset.title = whole ? t.close : t.whole;
  draw(inset.firstElementChild, whole ? s.after : s.whole_after);
  inset.style.setProperty("--inset", whole ? 1 : s.size[0] / s.size[1]);
  const [a, b, c, d] = s.crop, spot = inset.lastElementChild;
  spot.hidden = whole;
  Object.assign(spot.style, { left: `${100 * a}%`, top: `${100 * b}%`, width: `${100 * (c - a)}%`,
    height: `${100 * (d - b)}%` });
  inset.hidden = c - a > 0.97 && d - b > 0.97;
  another.hidden = Boolean(turning) || !(s.styles > 1);
  faces();
  split(rest(), wipe);
}

function faces() {
  const several = (lc.state.faces ?? []).length > 1;
  find(".lc-faces").replaceChildren(...(several ? lc.state.faces : []).flatMap((face) => {
    const [left, top, right, bottom] = inView(face.box);
    if (right < 0.05 || left > 0.95 || bottom < 0.05 || top > 0.95 || (face.chosen && !whole)) return [];
    const button = document.createElement("button");
    button.type = "button";
    button.className = "lc-face";
    button.setAttribute("aria-pressed", face.chosen);
    button.innerHTML = `<span>${escaped(face.name)}</span>`;
    Object.assign(button.style, { left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`,
      height: `${100 * (bottom - top)}%` });
    button.onclick = () => {
      whole = false;
      if (face.chosen) look(false);
      else lc.ask("choose_face", [face.value]);
    };
    return [button];
  }));
}

function history() {
  const s = lc.state, strip = find(".lc-history"), pictures = s.history ?? [];
  strip.hidden = pictures.length < 2;
  while (strip.children.length > pictures.length) strip.lastElementChild.remove();
  pictures.forEach((picture, i) => {
    const button = strip.children[i] ?? strip.appendChild(entry(i));
    button.setAttribute("aria-current", i === s.at);
    draw(button.firstElementChild, picture);
  });
  // Where things are is known once the frame is laid out; asked now, it would be laid out twice.
  requestAnimationFrame(() => {
    strip.scrollLeft = (strip.querySelector("[aria-current=true]")?.offsetLeft ?? 0) - strip.clientWidth / 2;
  });
  find("[data-do=undo]").disabled = !s.undo;
  find("[data-do=redo]").disabled = !s.redo;
  find("[data-do=reset]").disabled = s.at === 0;
}

function entry(i) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-label", t.entry.replace("{number}", i));
  button.innerHTML = `<img alt="">`;
  button.onclick = () => lc.ask("go", [], i);
  return button;
}

function show() {
  const view = props.value && JSON.parse(props.value);
  if (!view || (view.asked && view.asked < lc.latest)) return; // somebody has asked for something else by now
  if (view.failed) {
    lc.running = false;
    arriving = null;
    lc.busy(false);
    say(view.failed);
    lc.wish = wished(lc.state);
    lc.hear.forEach((hear) => hear());
    return;
  }
  const old = lc.state, step = "step" in view;
  if (!step && view.details) find(".lc-details div").innerHTML = view.details;
  if (!step && view.serial === old.serial && !old.walking) return; // the same, with details
  lc.state = step ? { ...old, ...view, walking: true } : { energies: "", ...view, walking: false };
  if (step) whole = false;
  const fresh = old.face_key !== lc.state.face_key;
  if (!step) {
    lc.running = false;
    lc.settled = lc.state;
    lc.busy(false);
    if (fresh && !(old.name === view.name && old.size?.join() === view.size.join())) {
      whole = view.faces.length > 1 && view.at === 0 && view.keep.length < 2;
      blob = arriving;
    }
    arriving = null;
    const { identity, strength, method } = lc.wish ?? {};
    lc.wish = wished(view);
    // A face that nobody has edited yet leaves the sliders and the method where somebody has put them.
    if (fresh && lc.touched && view.at === 0) Object.assign(lc.wish, { identity, strength, method });
    if (lc.touched) keep(view);
  }
  const boxes = (one) => [...(one.boxes ?? [])].sort().join() + JSON.stringify(one.more ?? {}) + (one.style ?? 0);
  look(!step && (fresh || boxes(old) !== boxes(view)));
  if (!step) history();
  lc.hear.forEach((hear) => hear());
}
const wished = ({ boxes, identity, strength, method, more, style }) =>
  ({ boxes: [...(boxes ?? [])], identity, strength, method, more: { ...more }, style });

// The first paint goes through some changes until somebody does something.
function turn() {
  const loop = lc.state.loop;
  if (!loop || loop.length < 2 || calm.matches || lc.touched) return;
  let at = 0;
  another.hidden = true; // it would be of one of them only
  turning = setInterval(() => {
    at = (at + 1) % loop.length;
    after.src = address(loop[at][0]);
    tell(loop[at][1]);
    split(rest(), true);
  }, 3000);
}
function stopTurning() {
  if (!turning) return;
  clearInterval(turning);
  turning = 0;
  if (lc.state.loop) tell(lc.state.loop[0][1]);
  look(false);
}
// The line under the stage says what is seen, to the eye only: nobody wants to hear it every three seconds.
function tell(said) {
  const line = document.querySelector("#status .lc-status");
  if (line) line.innerHTML = new DOMParser().parseFromString(said, "text/html").body.firstChild.innerHTML;
  line?.setAttribute("aria-live", turning ? "off" : "polite");
}

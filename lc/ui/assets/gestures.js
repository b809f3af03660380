// The stage's program ends: what somebody does, by mouse, touch, keys, a drop or the clipboard; and how it begins.

async function camera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
    find("video").srcObject = stream;
    find(".lc-snap").hidden = false;
  } catch {
    say(t.no_camera);
  }
}
function unsnap() {
  stream?.getTracks().forEach((track) => track.stop());
  find(".lc-snap").hidden = true;
}
function snap() {
  const video = find("video"), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  unsnap();
  canvas.toBlob((picture) => openNew(new File([picture], "camera.png", { type: "image/png" })));
}
const DO = {
  undo: () => lc.ask("undo"), redo: () => lc.ask("redo"), reset: () => lc.ask("reset"), camera, snap, unsnap, link,
  another: () => {
    lc.wish.style = ((lc.wish.style ?? 0) + 1) % lc.state.styles;
    lc.change();
  },
  export: () => {
    lc.given.export = [find("select").value];
    trigger("export", { index: null });
  },
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do], [data-example]");
  if (!button) return;
  if (button.dataset.do) DO[button.dataset.do]();
  else lc.ask("open_example", [], Number(button.dataset.example));
});
find("input[type=file]").addEventListener("change", (event) => {
  openNew(event.target.files[0]);
  event.target.value = "";
});
inset.addEventListener("click", () => { whole = !whole; stopTurning(); look(false); });

divider.addEventListener("pointerdown", (event) => { divider.setPointerCapture(event.pointerId); stopTurning(); });
divider.addEventListener("pointermove", (event) => {
  if (!divider.hasPointerCapture(event.pointerId)) return;
  const box = frame.getBoundingClientRect();
  split((100 * (event.clientX - box.left)) / box.width);
});
divider.addEventListener("keydown", (event) => {
  const now = Number(divider.getAttribute("aria-valuenow"));
  const next = { ArrowLeft: now - 5, ArrowDown: now - 5, ArrowRight: now + 5, ArrowUp: now + 5, Home: 0, End: 100 };
  if (!(event.key in next)) return;
  event.preventDefault();
  stopTurning();
  split(next[event.key]);
});

function hold(on) {
  if (held === on) return;
  held = on;
  frame.classList.toggle("lc-held", on);
}
for (const picture of [after, before]) {
  picture.addEventListener("pointerdown", (event) => { if (event.button === 0) { stopTurning(); hold(true); } });
}
for (const name of ["pointerup", "pointercancel", "blur"]) window.addEventListener(name, () => hold(false));
frame.addEventListener("contextmenu", (event) => { if (event.pointerType === "touch") event.preventDefault(); });

for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    if (!here() || ![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    find(".lc-over").hidden = false;
  });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) find(".lc-over").hidden = true; });
document.addEventListener("drop", (event) => {
  if (!here()) return;
  event.preventDefault();
  find(".lc-over").hidden = true;
  openNew(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => { if (here()) openNew(event.clipboardData.files[0]); });

const here = () => frame.offsetParent !== null;
lc.there = true;
new ResizeObserver(() => {
  if (here() === lc.there) return;
  lc.there = here();
  if (!lc.there) lc.leave();
  lc.hear.forEach((hear) => hear());
}).observe(frame);
const typing = (target) => target.closest?.("input:not([type=range]):not([type=radio]):not([type=file]), textarea, select");
document.addEventListener("keydown", (event) => {
  if (!here() || typing(event.target)) return;
  const key = event.key.toLowerCase(), command = event.ctrlKey || event.metaKey;
  if (command && key === "z") { if (event.shiftKey ? lc.state.redo : lc.state.undo) DO[event.shiftKey ? "redo" : "undo"](); }
  else if (command && key === "y") { if (lc.state.redo) DO.redo(); }
  else if (command || event.altKey) return;
  else if (key === " " && !event.target.closest("button, label, summary, a, [role=tab], input")) hold(true);
  else if (/^[1-9]$/.test(key)) lc.tap?.(Number(key) - 1);
  else if (key === "d") DO.export();
  else return;
  event.preventDefault();
});
document.addEventListener("keyup", (event) => { if (event.key === " ") hold(false); });

watch("value", show);
show();
// What stood in the page's HTML until now makes way for the same picture.
const begin = () => document.getElementById("lc-first")?.remove();
if (after.src) after.decode().then(begin, begin);
else begin();
restore().then((found) => { if (!found) { if (location.hash) linked(); else turn(); } });

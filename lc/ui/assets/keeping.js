// The stage's program goes on: the browser keeps photo and edits, the server nothing; and a link carries the settings.

async function keep(view) {
  try {
    let photo = blob;
    if (!photo && !view.source) photo = await (await fetch(address(view.whole_before))).blob();
    const record = { photo, name: view.name, source: view.source, faces: view.keep };
    (await store()).transaction("kept", "readwrite").objectStore("kept").put(record, "now");
  } catch { /* a private window keeps nothing */ }
}
async function kept() {
  try {
    const db = await store();
    return await new Promise((resolve) => {
      const request = db.transaction("kept").objectStore("kept").get("now");
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null);
    });
  } catch {
    return null;
  }
}
async function restore() {
  const record = await kept();
  await lc.bringTaught?.();
  if (!record || lc.touched) return false;
  say(t.restoring);
  let upload = null;
  if (record.photo) {
    upload = await open(new File([record.photo], record.name || "photo.jpg", { type: record.photo.type }));
    if (!upload) return true;
    arriving = record.photo;
  }
  lc.ask("restore", [upload, record.source ?? "", record.faces]);
  return true;
}
// A link has the settings in its fragment, which no server is sent; never the photo.
function linked() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (!given.has("changes") || !lc.wish) return;
  for (const part of given.get("changes").split(",").filter(Boolean)) {
    const name = part.slice(1);
    lc.wish.boxes = lc.wish.boxes.filter((box) => box !== name);
    if (part[0] === "+") lc.wish.boxes.push(name);
  }
  lc.wish.identity = Number(given.get("identity") ?? 0.5);
  lc.wish.strength = Number(given.get("strength") ?? 1);
  lc.wish.style = Number(given.get("style") ?? 0);
  lc.change();
}
async function link() {
  const { seen } = lc.state, { boxes, identity, strength, style } = lc.wish;
  const changes = [...boxes.filter((box) => !seen.includes(box)).map((box) => `+${box}`),
    ...seen.filter((box) => !boxes.includes(box)).map((box) => `-${box}`)].join(",");
  location.hash = new URLSearchParams({ changes, identity, strength, style: style ?? 0 });
  try { await navigator.clipboard.writeText(location.href); } catch { /* it stands in the address line */ }
  find("[data-do=link]").textContent = t.copied;
}

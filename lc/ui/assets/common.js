// What the page's programs share; each begins with it, see desk.py.
const lc = (window.lc ??= { state: {}, given: {}, hear: [], latest: 0 });
const root = (window.gradio_config?.root ?? "").replace(/\/$/, "");
const escaped = (words) => words.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt()};`);
// What this browser keeps for the next visit; the server keeps nothing.
const store = () => new Promise((resolve, reject) => {
  const request = indexedDB.open("latent-constraints", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("kept");
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

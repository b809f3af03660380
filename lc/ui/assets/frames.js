// Before all other programs, which take hold of this function. Gradio's sign that the page is loading counts seconds at
// every frame, and goes on when the sign is gone, for as long as the page is open: a tenth of a core. Nothing here shows
// such seconds; all other frames are drawn.
{
  const draw = window.requestAnimationFrame.bind(window), counts = /performance\.now\(\)[^;]*\/1e3/;
  window.requestAnimationFrame = (call) => (counts.test(call) ? 0 : draw(call));
}

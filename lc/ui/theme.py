"""The page's look: Gradio's base theme in teal and slate, the system's own fonts, and page.css.

Nothing is fetched from outside: no web fonts, no images.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from lc.ui.texts import text

__all__ = ["CSS", "names", "theme"]

_HERE = Path(__file__).parent
CSS = [_HERE / "page.css", _HERE / "assets" / "desk.css", _HERE / "assets" / "tabs.css"]

_NAMES = """
  const name = () => {
    document.querySelectorAll("fieldset.block:not([aria-label])").forEach((group) => {
      const title = group.querySelector("[data-testid=block-info]");
      if (title) group.setAttribute("aria-label", title.textContent.trim());
    });
    // Wide tables and code scroll by themselves, by keys too.
    document.querySelectorAll(".lc-card :is(table, pre):not([tabindex])").forEach((one) => { one.tabIndex = 0; });
  };
  name();
  document.documentElement.lang = texts.language;
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
"""

_SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

# What Gradio's theme takes, by its names.
_PAGE: dict[str, Any] = {
    "body_background_fill": "*neutral_50",
    "body_background_fill_dark": "*neutral_950",
    "body_text_color": "*neutral_800",
    "body_text_color_dark": "*neutral_100",
    "body_text_color_subdued": "*neutral_600",  # on neutral_50 a contrast of 7
    "body_text_color_subdued_dark": "*neutral_400",
    "block_background_fill": "white",
    "block_background_fill_dark": "*neutral_900",
    "block_border_width": "1px",
    "block_border_color": "*neutral_200",
    "block_border_color_dark": "*neutral_800",
    "block_radius": "*radius_lg",
    "block_shadow": "none",
    "block_label_background_fill": "white",
    "block_label_background_fill_dark": "*neutral_900",
    "block_label_border_width": "0px",
    "block_label_text_color": "*neutral_600",
    "block_label_text_color_dark": "*neutral_400",
    "block_label_text_weight": "600",
    "block_title_text_color": "*neutral_700",
    "block_title_text_color_dark": "*neutral_200",
    "block_title_text_weight": "600",
    "color_accent": "*primary_700",
    "slider_color": "*primary_600",
    "link_text_color": "*primary_700",
    "link_text_color_dark": "*primary_300",
}
_BUTTONS: dict[str, Any] = {
    "button_border_width": "1px",
    "button_border_width_dark": "1px",
    "button_primary_border_color": "*primary_700",
    "button_primary_border_color_dark": "*primary_700",
    "button_primary_background_fill": "*primary_700",
    "button_primary_background_fill_hover": "*primary_800",
    "button_primary_background_fill_dark": "*primary_700",
    "button_primary_background_fill_hover_dark": "*primary_600",
    "button_primary_text_color": "white",
    "button_secondary_background_fill": "white",
    "button_secondary_background_fill_hover": "*neutral_100",
    "button_secondary_background_fill_dark": "*neutral_800",
    "button_secondary_background_fill_hover_dark": "*neutral_700",
    "button_secondary_border_color": "*neutral_300",
    "button_secondary_border_color_dark": "*neutral_700",
}
_BOXES: dict[str, Any] = {
    "checkbox_label_border_width": "1px",
    "checkbox_label_border_width_dark": "1px",
    "checkbox_label_padding": "*spacing_sm *spacing_md",
    "checkbox_label_background_fill": "white",
    "checkbox_label_background_fill_dark": "*neutral_800",
    "checkbox_label_background_fill_selected": "*primary_50",
    "checkbox_label_background_fill_selected_dark": "*primary_900",
    "checkbox_label_border_color": "*neutral_300",
    "checkbox_label_border_color_dark": "*neutral_700",
    "checkbox_label_border_color_selected": "*primary_600",
    "checkbox_label_border_color_selected_dark": "*primary_500",
    "checkbox_label_text_color_selected": "*primary_900",
    "checkbox_label_text_color_selected_dark": "*primary_50",
    "checkbox_background_color_selected": "*primary_700",
    "checkbox_background_color_selected_dark": "*primary_600",
    "checkbox_border_color_selected": "*primary_700",
    "checkbox_border_color_selected_dark": "*primary_600",
}


def names() -> str:
    """A function for the browser that says what Gradio leaves out: the page's language, for a screen reader what groups
    of boxes are called, and that keys scroll wide tables."""
    texts = {"language": text("page.language")}
    return f"() => {{\n  const texts = {json.dumps(texts)};{_NAMES}}}"


def theme() -> gr.themes.Base:
    """Gradio's theme object for `launch`."""
    look = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=list(_SANS),
        font_mono=list(_MONO),
    )
    return look.set(**_PAGE, **_BUTTONS, **_BOXES)

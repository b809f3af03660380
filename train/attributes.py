"""The attribute set that training learns, read from one JSON file: another set is another file.

The file has the form of config.json's section "attributes", see `lc.attributes.AttributeSet`. LC_ATTRIBUTES names
another one than celeba-10.json beside this module.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from lc.attributes import AttributeSet

__all__ = ["ATTRIBUTES", "ATTRIBUTE_SET"]

#: What a new model is trained to tell and to change.
ATTRIBUTE_SET = AttributeSet.of(
    json.loads(Path(os.environ.get("LC_ATTRIBUTES") or Path(__file__).with_name("celeba-10.json")).read_text())
)
#: Their names, in the order of label vectors.
ATTRIBUTES = ATTRIBUTE_SET.names

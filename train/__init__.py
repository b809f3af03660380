"""Training code: one runnable module per stage (`python -m train.STAGE --help`). `lc` never imports it."""

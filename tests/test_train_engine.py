"""train.engine: what every stage shares."""

from __future__ import annotations

import pytest
import torch

from train.engine import native_bf16


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [({"avx2": True, "amx_bf16": False}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)],
)
def test_bfloat16_is_for_processors_that_multiply_in_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], native: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert native_bf16("cpu") is native

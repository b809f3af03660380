"""The program that serves the page: its settings, and what it says where it cannot start."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lc.ui.settings import Settings, bytes_of, parse
from lc.ui.storage import Folder

pytest.importorskip("gradio")

import app


def test_flags_win_over_variables_and_variables_over_defaults() -> None:
    environment = {
        "LC_PORT": "8001",
        "LC_SHARE": "true",
        "LC_MAX_UPLOAD_SIZE": "5mb",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": "9",
    }
    assert parse([], {}) == Settings()
    settings = parse(["--concurrency", "4", "--no-share"], environment)
    assert settings == Settings(host="0.0.0.0", port=8001, concurrency=4, max_upload_size="5mb")
    assert parse(["--port", "1"], environment).port == 1
    assert parse([], environment).share
    assert parse(["--allow-host", "a.org", "--allow-host", "*.b.org"], {}).allow_host == ("a.org", "*.b.org")
    assert parse([], {"LC_ALLOW_HOST": "a.org b.org"}).allow_host == ("a.org", "b.org")
    assert [bytes_of(size) for size in ("7b", "500kb", "1 gb")] == [7, 512_000, 2**30]


@pytest.mark.parametrize(
    "flags", [["--port", "x"], ["--port", "70000"], ["--concurrency", "0"], ["--max-upload-size", "9"]]
)
def test_settings_that_do_not_fit_are_a_usage_message(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(flags, {})
    assert exit_.value.code == 2
    assert flags[0] in capsys.readouterr().err


def test_missing_weights_are_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Folder(60, tmp_path) as folder:
        assert app.serve(Settings(weights=str(tmp_path)), folder) == 2
    assert "config.json" in capsys.readouterr().err


def test_a_taken_port_is_a_sentence(tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken, Folder(60, tmp_path) as folder:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(weights=str(tiny_weights), device="cpu", port=taken.getsockname()[1])
        assert app.serve(settings, folder) == 1
    assert str(settings.port) in capsys.readouterr().err


def test_a_window_is_this_machines_alone(capsys: pytest.CaptureFixture[str]) -> None:
    settings = parse(["--desktop", "--host", "0.0.0.0", "--port", "80"], {"LC_ROOT_PATH": "/x"})
    assert (settings.desktop, settings.host, settings.port, settings.root_path) == (True, "127.0.0.1", 0, "")
    with pytest.raises(SystemExit):
        parse(["--desktop", "--share"], {})
    assert "--share" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["webview", "screen"])
def test_a_window_that_cannot_be_had_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    monkeypatch.setitem(sys.modules, "webview", None if missing == "webview" else ModuleType("webview"))
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with Folder(60, tmp_path) as folder:
        assert app.serve(Settings(desktop=True), folder) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "--desktop" in sentence

"""Requests against the real server: what an outsider can reach, read and set off."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

gr = pytest.importorskip("gradio")
from asking import API, call, number, said, upload  # noqa: E402

from lc.editor import FaceEditor  # noqa: E402
from lc.ui.door import MAX_JSON  # noqa: E402
from lc.ui.hosts import Hosts  # noqa: E402
from lc.ui.launch import launch  # noqa: E402
from lc.ui.layout import build_page  # noqa: E402
from lc.ui.settings import Settings  # noqa: E402
from lc.ui.storage import Folder  # noqa: E402

LIMIT = 2 * 2**20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    with Folder(3000, tmp_path_factory.mktemp("app")) as folder:
        yield folder


@pytest.fixture(scope="module")
def page(tiny_editor: FaceEditor, tiny_weights: Path, folder: Folder) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder.path))
        settings = Settings(port=0, max_upload_size="2mb")
        page, _ = build_page(tiny_editor, tiny_weights, settings, folder)
        launch(page, folder, settings)
        yield page
        page.close()


@pytest.fixture
def client(page: Any, capfd: pytest.CaptureFixture[str]) -> Iterator[httpx.Client]:
    """A visitor; whatever the test asks for, no traceback is written."""
    with httpx.Client(base_url=page.local_url.rstrip("/"), timeout=30, trust_env=False) as client:
        yield client
    written = capfd.readouterr()
    assert "Traceback" not in written.out + written.err


# --- files -----------------------------------------------------------------------------------------------------------


class _Web(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(404)
        self.end_headers()

    do_HEAD = do_GET


@pytest.fixture
def web() -> Iterator[str]:
    """A server inside, which nobody outside may make the page ask."""
    server = HTTPServer(("127.0.0.1", 0), _Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/inside.jpg"
    server.shutdown()
    assert _Web.asked == []


def test_no_function_opens_a_file_that_was_not_uploaded(
    client: httpx.Client, page: Any, folder: Folder, astronaut: Path, tmp_path: Path, web: str
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    inside = folder.write(astronaut.read_bytes(), "result.jpg")
    meta = {"_type": "gradio.FileData"}
    places = [
        str(astronaut),
        "/dev/zero",
        str(tmp_path / "pipe.jpg"),
        "/etc/passwd",
        inside,
        web,
        f"file://{astronaut}",
    ]
    payloads: list[Any] = [*places, [{"path": str(astronaut)}], {"url": web, "path": ""}]
    for place in places:
        payloads += [{"path": place}, {"path": place, "meta": meta}, {"path": place, "url": place, "is_stream": True}]
    for name in ("open_upload", "describe", "edit"):
        index = number(page, name)
        rest = [None] * (len(page.fns[index].inputs) - 1)
        for payload in payloads:
            assert "Upload a photo" in said(call(client, index, [payload, *rest]))
    for index, function in page.fns.items():  # every function, listed or not, at every place
        for place, block in enumerate(function.inputs):
            if block.stateful:  # the server's own, whatever is sent
                continue
            data: list[Any] = [None] * len(function.inputs)
            data[place] = {"path": str(astronaut), "meta": meta}
            assert call(client, index, data)["refused"] in (400, 404)
            data[place] = [{"deep": [{"url": web}]}]
            assert call(client, index, data)["refused"] in (400, 404)


def test_an_upload_is_named_by_nobody_else(client: httpx.Client, page: Any, astronaut: Path) -> None:
    mine, theirs = upload(client, astronaut.read_bytes()), upload(client, astronaut.read_bytes())
    assert mine != theirs  # the same photo: even who has it cannot tell what others call it
    answer = call(client, number(page, "describe"), [{**mine, "url": "http://127.0.0.1:1/x"}, 0])
    assert len(answer["output"]["data"][0]["attributes"]) == 10


def test_files_are_served_by_registered_name_only(
    client: httpx.Client, folder: Folder, astronaut: Path, web: str
) -> None:
    path = folder.write(b"picture", "picture.jpg")
    assert client.get(f"{API}/file={path}").content == b"picture"
    assert client.get(f"{API}/file={path}", headers={"range": "bytes=1-2-3"}).content == b"picture"
    assert client.get(f"{API}/file={astronaut.absolute()}").status_code == 200  # an example, for everybody
    (folder.path / "deep_links").mkdir(exist_ok=True)
    (folder.path / "deep_links" / "state.json").write_text("{}")
    for place in (
        "/etc/passwd",
        "README.md",
        web,
        str(folder.path / "server.lock"),
        str(folder.path / "deep_links" / "state.json"),
        f"{folder.path}//{os.path.relpath(path, folder.path)}",
        f"{path}%00",
    ):
        response = client.get(f"{API}/file={place}")
        assert (response.status_code, "not here" in response.json()["error"]) == (404, True)


def test_what_the_page_does_not_use_is_not_there(client: httpx.Client, page: Any, web: str) -> None:
    gets = ["proxy=" + web, "custom_component/x/client/y/z.js", "stream/a/b/1/playlist.m3u8", "runs", "dev/reload"]
    gets += ["run-history/buckets", "run-history/records", "vibe-code", "token", "profiling/traces", "file/etc/passwd"]
    roots = ["monitoring", "monitoring/summary", "pwa_icon", "pwa_icon/512", "icon-4096.png", "icon-192.png/x", "docs"]
    for path in [f"{API}/{path}" for path in gets] + [f"/{path}" for path in roots]:
        assert client.get(path).status_code == 404, path
    posts = ["component_server", "process_recording", "stream/x", "run-history/connect", "vibe-edit", "call/change"]
    posts += ["run/change", "api/export", "run/describe", "call/v2/make"]
    for path in posts:
        assert client.post(f"{API}/{path}", json={"data": [], "session_hash": "me"}).status_code == 404, path
    assert client.post("/login", data={"username": "a", "password": "b"}).status_code == 404
    for path in (f"{API}/deep_link?session_hash=me", "/static/" + "a" * 5000, "/static/%00", f"{API}/call/edit/nobody"):
        assert client.get(path).status_code == 404
    assert client.get("/", params={"deep_link": "../../x", "page": "x"}).status_code == 200
    assert client.get("/", params={str(i): i for i in range(50)}).status_code == 400


def test_a_lost_session_is_told(client: httpx.Client) -> None:
    answer = client.get(f"{API}/queue/data", params={"session_hash": "nobody"})
    assert json.loads(answer.text.removeprefix("data: "))["session_not_found"]


# --- who asks --------------------------------------------------------------------------------------------------------


def test_foreign_names_and_pages_are_refused(client: httpx.Client) -> None:
    for headers in (
        {"host": "evil.example"},
        {"host": "evil.example:7860"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "192.168.0.9"},
        {"host": ""},
        {"host": "["},
        {"x-forwarded-host": "evil.example"},
        {"x-gradio-server": "http://evil.example/"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://192.168.0.9"},
    ):
        response = client.get("/config", headers=headers)
        assert response.status_code in (403, 421), headers
        assert "--allow-host" in response.json()["error"]
    for headers in (
        {"host": "localhost:7860"},
        {"host": "[::1]:7860"},
        {"host": "someone-space.hf.space", "origin": "https://someone-space.hf.space"},
        {"origin": "http://localhost:3000"},
        {"x-forwarded-host": "someone-space.hf.space"},
    ):
        assert client.get("/config", headers=headers).status_code == 200, headers


def test_a_server_for_every_network_answers_to_addresses_and_to_names_it_was_given() -> None:
    hosts = Hosts("0.0.0.0", ["*.example.org"], "https://faces.example.com/x", share=True)
    assert all(map(hosts.allows_host, ["192.168.0.9:80", "[fe80::1]:80", "a.example.org", "faces.example.com"]))
    assert hosts.allows_host("abc.gradio.live")
    assert not any(map(hosts.allows_host, ["evil.example", "example.org.evil.example", "", "192.168.0.9.nip.io"]))
    assert hosts.allows_origin("http://192.168.0.9", "192.168.0.9:7860")
    assert not hosts.allows_origin("http://6.6.6.6", "192.168.0.9:7860")  # a page from an address is a foreign page
    assert Hosts("faces.local").allows_host("Faces.Local.:80")


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_uploads_are_bounded_and_leave_nothing_when_they_fail(client: httpx.Client, folder: Folder) -> None:
    def uploads() -> list[Path]:
        return [path for path in folder.path.iterdir() if path.name.startswith("upload-")]

    before, form = uploads(), {"content-type": "multipart/form-data; boundary=x"}
    large = client.post(f"{API}/upload", files={"files": ("a.jpg", b"0" * (LIMIT + 1))})
    assert (large.status_code, "too large" in large.json()["error"]) == (413, True)
    much = client.post(f"{API}/upload", files=[("files", (f"{i}.jpg", b"0" * LIMIT)) for i in range(20)])
    assert much.status_code == 413
    for body, headers in (
        (b"", form),
        (b"--x\r\n", form),
        (b"--x--\r\n", form),
        (b"junk", {"content-type": "multipart/form-data"}),
        (b"{}", {"content-type": "application/json"}),
        (b'--x\r\ncontent-disposition: form-data; name="files"\r\n\r\ntext\r\n--x--\r\n', form),
    ):
        for query in ("", "?upload_id=abc"):
            response = client.post(f"{API}/upload{query}", content=body, headers=headers)
            assert (response.status_code, "form" in response.json()["error"]) == (400, True), body
    assert uploads() == before
    path = upload(client, b"x", "../../" + "ä" * 400 + "\0.jpg")["path"]
    assert Path(path).is_relative_to(folder.path)


def test_a_full_disk_is_a_sentence(client: httpx.Client, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "new_upload", full)
    response = client.post(f"{API}/upload", files={"files": ("a.jpg", b"0")})
    assert (response.status_code, "no room" in response.json()["error"]) == (507, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 60_000,
        b'{"data":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"data": ' + b"9" * 5000 + b"}",
        b'{"data": [], "fn_index": 0, "session_hash": "../x"}',
        b'{"data": [], "fn_index": true, "session_hash": "me"}',
        b'{"data": [], "fn_index": 99999, "session_hash": "me"}',
        b'{"data": {}, "fn_index": 0, "session_hash": "me"}',
        b'{"data": [["\\ud800"], 0, 0, 0, 0], "fn_index": 4, "session_hash": "me"}',
        b'{"data": [[' + b"1," * 2000 + b'1], 0, 0, 0, 0], "fn_index": 4, "session_hash": "me"}',
    ],
)
def test_calls_that_are_none_are_a_sentence(client: httpx.Client, body: bytes) -> None:
    for path in ("queue/join", "run/predict", "call/edit", "call/v2/edit", "cancel"):
        response = client.post(f"{API}/{path}", content=body, headers={"content-type": "application/json"})
        assert 400 <= response.status_code < 500
        assert 10 < len(response.json()["error"]) < 200


def test_a_large_call_is_refused_and_nobody_waits(client: httpx.Client) -> None:
    body = b'{"data": ["' + b"0" * 57_000_000 + b'"]}'
    response = client.post(f"{API}/queue/join", content=body)
    assert (response.status_code, "64 kB" in response.json()["error"]) == (413, True)
    chunks = (b"0" * 10_000 for _ in range(MAX_JSON // 10_000 + 1))  # its length is not announced
    assert client.post(f"{API}/queue/join", content=chunks).status_code == 413


def picture(kind: str, astronaut: Path) -> tuple[str, bytes]:
    good = astronaut.read_bytes()
    if kind == "bomb":
        file = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(file, "PNG")
        return "bomb.png", file.getvalue()
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    return {"cut": ("cut.jpg", good[:5000]), "empty": ("empty.jpg", b""), "drawing": ("drawing.jpg", drawing)}[kind]


@pytest.mark.parametrize("kind", ["cut", "empty", "drawing", "bomb"])
def test_a_bad_picture_is_a_sentence_for_everybody(client: httpx.Client, page: Any, astronaut: Path, kind: str) -> None:
    name, data = picture(kind, astronaut)
    photo = upload(client, data, name)
    assert name in said(call(client, number(page, "open_upload"), [photo]))
    assert name in said(call(client, number(page, "describe"), [photo, 0]))


def test_a_photo_is_opened_by_its_content(client: httpx.Client, page: Any, astronaut: Path) -> None:
    photo = upload(client, astronaut.read_bytes(), "photo.svg")
    answer = call(client, number(page, "open_upload"), [photo])
    assert not said(answer)
    shown = json.loads(answer["output"]["data"][0])
    assert shown["after"].startswith("data:image/jpeg;base64,")  # what is waited for comes with the answer
    for picture in ("before", "whole_before", "whole_after"):
        assert shown[picture].endswith(".jpg")
        assert client.get(f"{API}/file={shown[picture]}").status_code == 200


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, -1, 1e300, 10**30, "x", True, [], {}])
def test_wrong_numbers_are_a_sentence_everywhere(client: httpx.Client, page: Any, astronaut: Path, value: Any) -> None:
    photo = upload(client, astronaut.read_bytes())
    wishes = [8, "0", "on", {}]
    assert said(call(client, number(page, "sample"), [1, None, value, True]))
    assert said(call(client, number(page, "sample"), [value, None, 0, True]))
    assert said(call(client, number(page, "describe"), [photo, value]))
    assert said(call(client, number(page, "edit"), [photo, None, value, "actor", 0, 0]))
    assert said(call(client, number(page, "change"), [["Young"], value, 1, "actor", 0, {}, 0]))
    assert said(call(client, number(page, "change"), [["Young"], 0.5, value, "actor", 0, {}, 0])) or value is True
    assert said(call(client, number(page, "make"), [value, *wishes[1:]]))
    if value is not None:
        assert said(call(client, number(page, "make"), [wishes[0], value, *wishes[2:]]))
    assert said(call(client, number(page, "take_away"), ["with", value]))
    assert said(call(client, number(page, "morph"), [value, value]))
    for event in ({"index": value}, {}, value):
        call(client, number(page, "open_example"), [], event_data=event)
        call(client, number(page, "go"), [], event_data=event)


def test_of_several_files_each_is_an_upload_that_is_here(client: httpx.Client, page: Any, astronaut: Path) -> None:
    good = upload(client, astronaut.read_bytes(), "good.jpg")
    stranger = {"path": str(astronaut), "meta": {"_type": "gradio.FileData"}}
    look_at, session = number(page, "look_at"), "teacher"
    for files in (
        [good, stranger],
        [good, {"path": good["path"] + "/../x"}],
        [good, None],
        [good] * 13,
        good,
        [[good]],
    ):
        body = {"data": [files, "with"], "fn_index": look_at, "session_hash": session}
        response = client.post(f"{API}/queue/join", json=body)
        assert response.status_code == 400
        assert "Upload a photo first" in response.json()["error"]
    view = call(client, look_at, [[good], "with"], session)["output"]["data"][0]
    assert [face["name"] for face in view["with"]] == ["good.jpg"]
    others = call(client, look_at, [[], "with"], "another")["output"]["data"][0]
    assert others["with"] == []  # each teaches alone


def test_private_functions_touch_only_the_session_that_asks(client: httpx.Client, page: Any, astronaut: Path) -> None:
    mine = call(client, number(page, "open_upload"), [upload(client, astronaut.read_bytes(), "mine.jpg")], "mine")
    assert not said(mine)
    exported = call(client, number(page, "export"), ["PNG"], "mine")["output"]["data"][0]["path"]
    assert exported.endswith("mine-edited.png")
    theirs = call(client, number(page, "export"), ["PNG"], "other")["output"]["data"][0]["path"]
    assert theirs.endswith("astronaut-edited.png")  # what everybody starts with
    for name in ("undo", "reset", "redo"):
        call(client, number(page, name), [], "other")
    assert call(client, number(page, "export"), ["PNG"], "mine")["output"]["data"][0]["path"] == exported


def test_a_call_leaves_no_empty_file(client: httpx.Client, page: Any, folder: Folder, astronaut: Path) -> None:
    photo = upload(client, astronaut.read_bytes())
    before = {path for path in folder.path.rglob("*") if path.is_file()}
    assert call(client, number(page, "describe"), [photo, 0])["success"]
    assert {path for path in folder.path.rglob("*") if path.is_file()} == before


def test_programs_may_call_by_parameter(client: httpx.Client, astronaut: Path) -> None:
    photo = upload(client, astronaut.read_bytes())
    event = client.post(f"{API}/call/v2/describe", json={"photo": photo}).json()["event_id"]
    assert "Eyeglasses" in client.get(f"{API}/call/v2/describe/{event}").text
    event = client.post(f"{API}/call/describe", json={"data": [photo, 0]}).json()["event_id"]
    assert "Eyeglasses" in client.get(f"{API}/call/describe/{event}").text
    assert "parameter 'x'" in client.post(f"{API}/call/v2/describe", json={"x": 1}).json()["error"]


def test_two_listeners_of_one_session_do_not_fail_each_other(client: httpx.Client, page: Any) -> None:
    body = {"data": [1, "0", "on", {}], "fn_index": number(page, "make"), "session_hash": "twice"}
    for _ in range(2):  # so that both still listen when one leaves
        client.post(f"{API}/queue/join", json=body)
    query, until = {"session_hash": "twice"}, time.monotonic() + 60
    with client.stream("GET", f"{API}/queue/data", params=query) as stays:
        with client.stream("GET", f"{API}/queue/data", params=query) as leaves:
            next(leaves.iter_lines())
        # A message goes to one of them: the first calls' may all have gone to the one that left.
        client.post(f"{API}/queue/join", json=body)
        for line in stays.iter_lines():
            if "process_completed" in line or "session_not_found" in line:
                break
            assert time.monotonic() < until  # heartbeats go on for ever
    time.sleep(0.5)

"""What the page says: every text is there and used, none is left in the code, and another language is one more file."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError
from lc.ui import texts
from lc.ui.settings import Settings, parse
from lc.ui.storage import Folder
from train.attributes import ATTRIBUTE_SET

CODE = sorted(Path(texts.__file__).parent.glob("*.py"))

#: No visitor reads these: they are for who starts the server.
OPERATORS = ("settings.py", "texts.py")
#: The API's parameters are called the same in every language, as functions are.
PARAMETERS = "_endpoints"
#: Names rather than words: of fonts, of a kind of file, what the page sends for a face, and what Gradio says.
ALLOWED = {"Segoe UI", "Roboto", "Noto Sans", "SFMono-Regular", "Menlo", "Consolas", "WebP", "Face "}
ALLOWED |= {"gradio.FileData", "exceeded maximum allowed size of"}

WORDS = re.compile(r"\b[A-Z][a-z]+|[A-Za-z]{2,} [a-z]{2,}")
#: Where even a single small word is a label.
LABELS = ("label", "info", "title", "placeholder")
SPEAKING = ("Button", "Tab", "Warning", "Error", "Info", "LatentConstraintsError", "PhotoError", "Markdown")


def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if not names or name in names:
                yield node


def asked_for() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Where a text is asked for, its name, and the fields that are given."""
    for path in CODE:
        for call in calls(ast.parse(path.read_text()), "text"):
            if not isinstance(call.func, ast.Name):
                continue  # a picture's
            where = f"{path.name}:{call.lineno}"
            (name,) = call.args
            assert isinstance(name, ast.Constant), f"{where}: a text is asked for by its name"
            assert all(keyword.arg for keyword in call.keywords), f"{where}: fields are written out"
            yield where, name.value, frozenset(str(keyword.arg) for keyword in call.keywords)


def test_every_text_is_used_and_every_one_used_exists() -> None:
    assert {name for _, name, _ in asked_for()} == set(texts.texts("en"))


def test_every_caller_gives_the_fields_of_its_text() -> None:
    english = texts.texts("en")
    for where, name, given in asked_for():
        assert given == texts.fields(english[name]).keys(), f"{where}: {name}"
        assert english[name].format(**dict.fromkeys(given, 1))


def plain(node: ast.Constant | ast.JoinedStr) -> str:
    """What is left of a string without the tags in it; a field counts as a sign."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    whole = "".join(str(part.value) if isinstance(part, ast.Constant) else "%" for part in parts)
    return re.sub(r"<[^<>]*>", "", whole)


def not_said(tree: ast.AST) -> set[ast.AST]:
    """Docstrings, exports, what is logged, patterns, parameters, and the parts of a string that is seen as a whole."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            skipped.update(part for part in node.values if isinstance(part, ast.Constant))
            for part in node.values:
                if isinstance(part, ast.FormattedValue) and part.format_spec:
                    skipped.add(part.format_spec)
        elif (
            (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
            or (isinstance(node, ast.FunctionDef) and node.name == PARAMETERS)
            or (isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("_LOG.", "re.")))
        ):
            skipped.update(ast.walk(node))
    return skipped


def is_code(string: str) -> bool:
    """JavaScript, which is no prose either."""
    return "=>" in string


def english_in(source: str) -> list[str]:
    """The strings of a module that a visitor could read."""
    tree = ast.parse(source)
    skipped = not_said(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and not isinstance(node.value, str):
            continue
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and node not in skipped:
            string = plain(node)
            if string not in ALLOWED and not is_code(string) and WORDS.search(string):
                found.append(f"{node.lineno}: {string}")
    speaking = set(calls(tree, *SPEAKING))
    for call in calls(tree):
        labels = [keyword.value for keyword in call.keywords if keyword.arg in LABELS]
        said = call.args[:1] if call in speaking else []
        words = [word for word in (*labels, *said) if isinstance(word, ast.Constant) and word not in skipped]
        found += [f"{word.lineno}: {word.value}" for word in words]
    return found


@pytest.mark.parametrize(
    "line",
    [
        'gr.Button("undo")',
        'gr.Slider(0, 1, label="strength")',
        'x = f"<b>{n} faces asked for</b>"',
        'x = "Undo"',
        'raise RefusedError(404, "There is nothing here.")',
    ],
)
def test_english_in_the_code_is_found(line: str) -> None:
    assert english_in(line)


@pytest.mark.parametrize("path", [path for path in CODE if path.name not in OPERATORS], ids=lambda path: path.name)
def test_no_english_is_left_in_the_code(path: Path) -> None:
    assert english_in(path.read_text()) == []


# --- another language -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of texts with English in it; afterwards the page speaks that again."""
    copy = tmp_path / "texts"
    copy.mkdir()
    (copy / "en.toml").write_bytes((texts.FOLDER / "en.toml").read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(texts, "FOLDER", copy)
        yield copy
    texts.use("en")


def translate(folder: Path, **changes: str) -> None:
    """Write a language called xx: English in other words.

    Args:
        folder: of texts.
        changes: English -> xx, as it stands in the file.
    """
    words = (folder / "en.toml").read_text()
    for old, new in changes.items():
        assert old in words
        words = words.replace(old, new)
    (folder / "xx.toml").write_text(words)


def test_a_second_language_is_shown(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_editor: FaceEditor, tiny_weights: Path
) -> None:
    pytest.importorskip("gradio")
    from lc.ui import inputs, views
    from lc.ui.layout import build_page
    from lc.ui.theme import names

    translate(folder, **{'"Undo"': '"Zurück"', '"Face {number}"': '"{number}. Gesicht"', '"en"': '"xx"'})
    assert parse(["--language", "xx"], {}) == parse([], {"LC_LANGUAGE": "xx"}) == Settings(language="xx")
    with Folder(3000, tmp_path) as files:
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(files.path))
        page, _ = build_page(tiny_editor, tiny_weights, Settings(language="xx"), files)
    shown = json.dumps(page.get_config_file(), default=str, ensure_ascii=False)
    assert '"Zurück"' in shown
    assert '"Undo"' not in shown
    assert '"language": "xx"' in names()
    assert inputs.face_names(1) == [("1. Gesicht", "Face 1")]
    assert inputs.face_name("Face 1") == 0  # whatever it is called
    assert "Step 3" in views.walking(3)


def test_a_language_may_name_the_attributes(folder: Path) -> None:
    translate(folder)
    with (folder / "xx.toml").open("a") as file:
        file.write('\n[attributes]\nSmiling.title = "Sourire"\nYoung = { title = "Jeune", off = "Vieilli" }\n')
    texts.use("xx")
    titled = texts.titled(ATTRIBUTE_SET)
    assert (titled["Smiling"].title, titled["Young"].off, titled["Young"].on) == ("Sourire", "Vieilli", "Younger")
    assert titled["Bald"] == ATTRIBUTE_SET["Bald"]
    assert titled.names == ATTRIBUTE_SET.names
    texts.use("en")
    assert texts.titled(ATTRIBUTE_SET) == ATTRIBUTE_SET


def test_german_names_every_attribute_that_ships() -> None:
    german = texts.texts("de")
    assert {f"attributes.{name}.title" for name in ATTRIBUTE_SET.names} <= german.keys()


def test_an_unknown_language_is_one_sentence_with_those_there_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    translate(folder)
    sentence = "There is no language 'klingon': choose from en, xx."
    with pytest.raises(LatentConstraintsError, match=sentence):
        texts.use("klingon")
    with pytest.raises(SystemExit):
        parse([], {"LC_LANGUAGE": "klingon"})
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('undo = "Undo"', "", "edit.undo"),
        ('undo = "Undo"', 'undo = "Undo {steps}"', "edit.undo"),
        ("Face {number}", "Face", "face.name"),
        ("Face {number}", "Face {}", "face.name"),
        ("Face {number}", "Face {number:.2q}", "face.name"),
        ("Face {number}", "Face {number", "cannot be read"),
        ('undo = "Undo"', "undo = 1", "edit.undo is not a text"),
        ('undo = "Undo"', "undo", "cannot be read"),
    ],
)
def test_a_language_that_does_not_fit_is_not_spoken(folder: Path, old: str, new: str, said: str) -> None:
    translate(folder, **{old: new})
    with pytest.raises(LatentConstraintsError, match=said):
        texts.use("xx")
    assert texts.text("edit.undo") == "Undo"

"""What the page says: every text is there and used, none is left in the code, and another language is one more file."""

from __future__ import annotations

import ast
import copy
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError, PhotoError, Sentence
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
    assert r"\"Zurück\"" in shown  # in a program's words
    assert r"\"Undo\"" not in shown
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


# --- what the library says --------------------------------------------------------------------------------------------

LIBRARY = Path(texts.__file__).parents[1]

#: What is said where no visitor of the page meets it: of modules, or of classes and functions in them.
ELSEWHERE = {
    "__main__": "the command line",
    "cli": "the command line",
    "outputs": "the command line",
    "faces/inputs": "the command line",
    "attributes.AttributeSet.parse": "the command line",
    "faces/align.frame_crop": "the command line, and programs: the page looks for faces",
    "faces/save.save_picture": "likewise: the page names its own files",
    "teach": "likewise, on folders: the page counts the photos itself",
    "few_shot.fit_labelled": "training",
    "taught.TaughtAttribute": "the page asks for numbers from 0 to 1, and names its own files",
    "taught.checked_name": "the page says it itself",
    "taught_actor.train_actor": "the page trains step by step",
    "named": "the page knows which names there are",
    "rules": "the page offers rules that these weights can have",
}
#: These are met where weights are loaded, before there is a page; of a visitor's file the page says it itself.
LOADING = ("WeightsError", "OtherGeneratorError")
SAYING = ("LatentConstraintsError", "PhotoError", "NoFaceError", "UnknownAttributeError", "Cancelled", "Sentence")


def scopes(node: ast.AST, path: str) -> Iterator[tuple[str, ast.AST]]:
    """All below a node, each with where it is: module, class and function, with dots between."""
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.ClassDef | ast.FunctionDef)
        where = f"{path}.{child.name}" if named else path
        yield where, child
        yield from scopes(child, where)


def sentences() -> Iterator[tuple[str, ast.Call]]:
    """Where the library says something that a visitor can meet."""
    for path in sorted(LIBRARY.rglob("*.py")):
        module = path.relative_to(LIBRARY).with_suffix("").as_posix()
        if module.startswith("ui/") and module != "ui/inputs":  # what the page itself says is checked above
            continue
        for where, node in scopes(ast.parse(path.read_text()), module):
            if any(where == other or where.startswith(f"{other}.") for other in ELSEWHERE):
                continue
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAYING:
                yield where, node


def templates() -> dict[str, str]:
    """The English of all that a visitor can meet -> where it is said."""
    found = {}
    for where, call in sentences():
        first = call.args[0]
        if isinstance(first, ast.Constant):
            found[str(first.value)] = f"{where}:{call.lineno}"
    return found


def people() -> set[str]:
    """What warnings call people, which the attribute set that ships says."""
    named = {word for one in ATTRIBUTE_SET.attributes for word in one.people if word}
    parts = {one.recolours for one in ATTRIBUTE_SET.attributes if one.recolours}
    return named | parts | {one.people for one in ATTRIBUTE_SET.unlikely}


def other_languages() -> list[str]:
    return [language for language in texts.languages() if language != texts.ENGLISH]


def test_what_the_library_says_keeps_its_template_and_values() -> None:
    seen = [where for where, call in sentences() if isinstance(call.args[0], ast.JoinedStr | ast.BinOp)]
    assert not seen, "fields are filled in by the error, else there is nothing to be said in another language"
    for where, call in sentences():
        first = call.args[0]
        if isinstance(first, ast.Constant):
            given = {str(keyword.arg) for keyword in call.keywords}
            assert given == texts.fields(str(first.value)).keys(), f"{where}:{call.lineno}"


def test_other_errors_of_the_library_are_those_of_loading() -> None:
    """A new kind of error has to be thought of here."""
    errors = {
        child.name
        for path in LIBRARY.rglob("*.py")
        for child in ast.walk(ast.parse(path.read_text()))
        if isinstance(child, ast.ClassDef) and any(ast.unparse(base).endswith("Error") for base in child.bases)
    }
    page = {"ForgottenError", "RefusedError"}  # what these say is one of the page's texts
    assert errors - page == {*SAYING, *LOADING} - {"Sentence"}


@pytest.mark.parametrize("language", other_languages())
def test_every_language_says_all_that_a_visitor_can_meet(language: str) -> None:
    read = texts.texts(language)
    said = {name.removeprefix("sentences.") for name in read if name.startswith("sentences.")}
    words = {one: where for one, where in templates().items() if re.search("[a-z]", re.sub(r"{.*?}", "", one))}
    assert not {where: one for one, where in words.items() if one not in said}
    assert people() <= said
    assert not said - words.keys() - people(), "nobody says this any more"
    for english in words:
        assert texts.fields(english) == texts.fields(read[f"sentences.{english}"])


def test_a_sentence_with_other_fields_is_found_at_the_start(folder: Path) -> None:
    translate(folder)
    with (folder / "xx.toml").open("a") as file:
        file.write('\n[sentences]\n"{name} is empty." = "{nom} est vide."\n')
    with pytest.raises(LatentConstraintsError, match=r"see sentences\.{name} is empty\.\.$"):
        texts.use("xx")


def test_a_sentence_of_the_library_is_said_in_the_language_in_use() -> None:
    wrong = LatentConstraintsError("{value} is not a whole number from {low} to {high}.", value="'x'", low=0, high=9)
    seed = LatentConstraintsError("{field}: {wrong}", field="Startzahl", wrong=wrong.sentence)
    assert str(seed) == "Startzahl: 'x' is not a whole number from 0 to 9."
    texts.use("de")
    try:
        assert texts.translated(seed) == "Startzahl: 'x' ist keine ganze Zahl von 0 bis 9."
        assert texts.translated(PhotoError("Who knows {this}?", this="women")) == "Who knows women?"
        assert texts.translated("women") == "women"  # as a photo may be called
        assert texts.translated(Sentence("women")) == "Frauen"
        assert texts.translated(LatentConstraintsError('Give {"Young": true}.')) == 'Give {"Young": true}.'
    finally:
        texts.use("en")
    assert texts.translated(seed) == str(seed)
    for copied in (pickle.loads(pickle.dumps(seed)), copy.deepcopy(seed)):
        assert (str(copied), copied.sentence.values) == (str(seed), seed.sentence.values)

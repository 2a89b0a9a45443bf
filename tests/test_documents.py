"""Every file that a document of the repository names is in the repository, and every command it gives exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # names what past versions had
)
PACKAGES = (
    "benchmarks",
    "indicators",
    "marketdata",
    "mlengine_project",
    "modelregistry",
    "predictions",
    "signals",
    "tests",
)
FOLDERS = (*PACKAGES, "docs", "templates", ".ci")
ENDINGS = ("py", "md", "toml", "yml", "yaml", "html", "js", "css")
CODE = re.compile(r"```.*?```", re.DOTALL)


def text_of(document):
    return (ROOT / document).read_text()


def links(text):
    """Targets of Markdown links and pictures outside code."""
    return [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text))]


def quoted(text):
    """Words in single backticks."""
    return re.findall(r"`([^`\n]+)`", CODE.sub("", text))


def looks_like_a_file(word):
    """Whether a quoted word names a file or folder of the repository.

    >>> [looks_like_a_file(word) for word in ("marketdata/clock.py", "README.md", "/health/ready", "data.csv", "a b.py")]
    [True, True, False, False, False]
    """
    if not re.fullmatch(r"[\w.-]+(/[\w.*{},-]+)*/?", word):
        return False
    in_folder = word.split("/")[0] in FOLDERS and "/" in word
    return in_folder or (word.rpartition(".")[2] in {"md", "toml", "yml"} and "/" not in word)


def looks_like_a_module(word):
    """Whether a quoted word is a dotted name inside one of our packages.

    >>> [looks_like_a_module(word) for word in ("marketdata.clock", "signals.services.advance()", "signals", "os.path")]
    [True, True, False, False]
    """
    return re.fullmatch(rf"({'|'.join(PACKAGES)})(\.\w+)+(\(\))?", word) is not None


def module_exists(word):
    """Whether a dotted name is a module, a name written inside one, or a migration as `app.0001`."""
    parts = word.removesuffix("()").split(".")
    if parts[-1].isdecimal():
        return any(ROOT.glob(f"*/migrations/{parts[-1]}_*.py")) or any(ROOT.glob(f"*/*/migrations/{parts[-1]}_*.py"))
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        rest = parts[length:]
        found = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
        if found.exists():
            return not rest or (len(rest) <= 2 and re.search(rf"\b{rest[0]}\b", found.read_text()) is not None)
    return False


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_leads_to_a_file(document):
    targets = [target for target in links(text_of(document)) if target and ":" not in target]
    assert [target for target in targets if not ((ROOT / document).parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_quoted_file_exists(document):
    named = {word for word in quoted(text_of(document)) if looks_like_a_file(word)}
    assert [word for word in sorted(named) if not any(ROOT.glob(word.rstrip("/")))] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_quoted_module_exists(document):
    named = {word for word in quoted(text_of(document)) if looks_like_a_module(word)}
    assert [word for word in sorted(named) if not module_exists(word)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_exists(document):
    text = text_of(document)
    commands = set(re.findall(r"manage\.py ([a-z]\w+)", text))
    ours = {path.stem for path in ROOT.glob("*/management/commands/*.py")}
    django = {"check", "createsuperuser", "makemigrations", "migrate", "spectacular"}
    assert sorted(commands - ours - django) == []
    programs = re.findall(r"python -m ((?:tests|benchmarks)[\w.]*)", text)
    assert [name for name in programs if not module_exists(name)] == []


def test_every_document_that_the_code_names_exists():
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"docs/[a-z][\w./-]*\w", path.read_text())
        if not any(ROOT.glob(f"{name}*"))
    ]
    assert missing == []


def test_every_decision_is_one_page():
    long = {
        path.name: length
        for path in (ROOT / "docs" / "decisions").glob("*.md")
        if (length := len(path.read_text().splitlines())) > 45
    }
    assert long == {}
    assert len(text_of("README.md").splitlines()) <= 120

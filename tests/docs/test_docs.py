"""What the documents say is true: tables, commands, links, quoted messages, and the help of each script."""

from __future__ import annotations

import ast
import itertools
import re
import runpy
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from documents import code_spans, rows, section
from suite import ROOT, Route

from autotransfer.common.errors import MEANINGS
from autotransfer.common.settings import TABLE, Setting
from autotransfer.common.summary import Summary
from autotransfer.globus.login import TOKEN_FILE

README = (ROOT / "README.md").read_text(encoding="utf-8")
OUTPUT = (ROOT / "docs/output.md").read_text(encoding="utf-8")
TROUBLESHOOTING = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
NO_SCRIPTS = {"__init__", "config", "config_local", "utils"}  # config_local: an owner's
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py") if path.stem not in NO_SCRIPTS)
# What a document's commands may use beside the suite's own.
SYSTEM_COMMANDS = {
    *(
        "cd",
        "chmod",
        "cp",
        "crontab",
        "export",
        "flock",
        "git",
        "mkdir",
        "mv",
        "rm",
        "sed",
        "source",
        "tail",
        "touch",
        "unset",
    ),
}
PYTHON = re.compile(r"(.*/)?python3?(\.\d+)?")
STANDARD_MODULES = {"venv", "pip", "pytest", "mypy", "ruff"}
# Words in quoted messages that are not ours: the operating system's, Python's, and what is put in.
FOREIGN = (
    *("permission denied", "certificate verify failed", "ended failed", "ended canceled", "ended expired"),
    "N problems",  # as counted
    *(f"No module named '{name}'" for name in ("autotransfer", "globus_sdk", "utils")),
)
# What stands for something else in a quoted message.
STAND_IN = re.compile(r"\.\.\.|Globus did not | in line |\bPATH\b|\bCODE\b|\bN\b|[A-Z]+_[A-Z_]+|: |[(),]|\.$")


# ---- reading a document ------------------------------------------------------------------------------------------


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command in the shell blocks of a document, and of every script named with arguments in it."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words
    for span in code_spans(text):
        first = span.split()[0]
        if " " in span and (first in SCRIPTS or first == "make"):
            yield shlex.split(span) if first == "make" else ["python", *shlex.split(span)]


def slug(heading: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


# ---- what commands may be ----------------------------------------------------------------------------------------


@cache
def help_of(*words: str) -> str:
    """What a command of the suite says with --help, as cron would run it."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    process = subprocess.run(
        [sys.executable, *words, "--help"], cwd="/", env=environment, capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def wrong_in(words: list[str]) -> Iterator[str]:
    """What is not true of a command."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if not words:
        return
    program, *arguments = words
    if program == "make":
        yield from (f"make has no target {name}" for name in arguments if "=" not in name and name not in targets())
    elif PYTHON.fullmatch(program):
        yield from _wrong_for_python(arguments)
    elif program not in SYSTEM_COMMANDS:
        yield f"{program} is not known"


def _wrong_for_python(arguments: list[str]) -> Iterator[str]:
    if not arguments:
        yield "python alone"
        return
    if arguments[0] == "-m":
        module, *arguments = arguments[1:]
        if module in STANDARD_MODULES:
            return
        if not (ROOT / module / "__main__.py").exists():
            yield f"there is no module {module}"
            return
        shown = help_of("-m", module)
    else:
        script = Path(arguments[0]).name
        arguments = arguments[1:]
        if script not in SCRIPTS:
            yield f"there is no script {script}"
            return
        # The words before the first option may name a command that has options of its own.
        leading = itertools.takewhile(lambda word: not word.startswith("-"), arguments)
        shown = help_of(str(ROOT / script), *leading)
    own = arguments
    if "--" in arguments:
        own, nested = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
        yield from wrong_in(nested)
    for word in own:
        option = word.partition("=")[0] if word.startswith("--") else word
        if option.startswith("-") and not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown):
            yield f"there is no option {option}"


# ---- the settings ------------------------------------------------------------------------------------------------


def test_the_table_of_required_settings_names_them_all() -> None:
    assert [row[0].strip("`") for row in rows(section("Required", README))] == [
        setting.name for setting in TABLE if setting.default is None
    ]


def test_the_reference_of_settings_is_what_its_program_writes() -> None:
    written = runpy.run_path(str(ROOT / "docs/configuration.py"))

    page, notes = written["page"](), written["NOTES"]

    assert (ROOT / "docs/configuration.md").read_text(encoding="utf-8") == page, "run: python docs/configuration.py"
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == [setting.name for setting in TABLE]
    assert set(notes) <= {setting.name for setting in TABLE}


def test_config_py_is_what_its_program_writes() -> None:
    written = runpy.run_path(str(ROOT / "docs/configuration.py"))["config"]()
    assignments = [statement for statement in ast.parse(written).body if isinstance(statement, ast.Assign)]
    values = {ast.unparse(one.targets[0]): ast.literal_eval(one.value) for one in assignments}

    assert (ROOT / "config.py").read_text(encoding="utf-8") == written, "run: python docs/configuration.py"
    assert values == {setting.name: "" if setting.default is None else setting.default for setting in TABLE}


@pytest.mark.parametrize("setting", TABLE, ids=lambda setting: str(setting.name))
def test_the_meaning_of_a_setting_is_one_line(setting: Setting) -> None:
    assert re.fullmatch(r"\S.*\.", setting.meaning)
    assert len(f"# {setting.meaning}") <= 120


# ---- the other tables --------------------------------------------------------------------------------------------


def test_the_table_of_exit_statuses_is_that_of_the_code() -> None:
    table = {int(row[0]): row[1] for row in rows(section("Exit statuses", README))}

    assert table == {int(status): meaning for status, meaning in MEANINGS.items()}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_help_of_each_script_shows_every_exit_status_and_examples(script: str) -> None:
    shown = help_of(str(ROOT / script))

    assert "\nexamples:\n" in shown
    assert [f"  {int(status)}  {meaning}" for status, meaning in MEANINGS.items()] == [
        line for line in shown.splitlines() if re.match(r"  \d  ", line)
    ]
    assert [problem for line in _examples(shown) for problem in wrong_in(shlex.split(line))] == []


def _examples(shown: str) -> list[str]:
    """The commands of a help's examples, without the remark that two blanks or more divide from them."""
    text = shown.partition("\nexamples:\n")[2].partition("\n\n")[0]
    text = re.sub(r" *\\\n *", " ", text)
    return [re.split(r" {2,}", line.strip())[0] for line in text.splitlines()]


def test_the_package_contents_exist_and_leave_nothing_out() -> None:
    listed = {name for row in rows(section("Package contents", README)) for name in code_spans(row[0])}
    patterns = ("*.py", "*.md", "*.toml", "*.cff", "Makefile", "LICENSE", "NOTICE")
    files = {path.name for pattern in patterns for path in ROOT.glob(pattern)}
    files -= {"config_local.py"}  # an owner's
    folders = {f"{path.parent.name}/" for path in ROOT.glob("[a-z]*/*.py")}

    assert listed == files | folders


def test_the_package_contents_name_every_package_behind_the_scripts() -> None:
    (described,) = [row[1] for row in rows(section("Package contents", README)) if row[0] == "`autotransfer/`"]

    assert set(code_spans(described)) == {path.parent.name for path in ROOT.glob("autotransfer/*/__init__.py")}


def test_the_table_of_output_files_names_what_a_run_leaves_and_its_mode(route: Route) -> None:
    listed = {row[0].strip("`") for row in rows(section("The files in CODE_PATH", OUTPUT))}
    route.write("a.txt")
    route.configure(LOG_MAX_BYTES=10_000)
    route.deliver()
    with (route.code_path / "log").open("a") as log:
        log.write("x" * 10_000)
    route.run("set_time.py", "now")
    left = {path.name: stat.S_IMODE(path.stat().st_mode) for path in route.code_path.iterdir()}

    assert left == dict.fromkeys(["datastore", "lock", "log", "log.1", "alerts.json"], 0o600)
    assert {*left, TOKEN_FILE} <= listed
    assert "mode 0600" in section("The files in CODE_PATH", OUTPUT)


def test_the_table_of_counts_and_the_line_of_the_log_name_what_a_summary_counts() -> None:
    listed = [name for row in rows(section("The log", OUTPUT)) for name in code_spans(row[0])]
    shown = re.findall(r"(\w+)=", next(line for line in OUTPUT.splitlines() if " INFO run status=" in line))

    assert sorted(listed) == sorted(["status", "seconds", *Summary.COUNTS, "datastore"])
    assert shown == [name for name in ("status", "seconds", *Summary.COUNTS, "datastore") if name in shown]


# ---- commands and links ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))
def test_every_command_in_a_document_exists_with_its_options(document: Path) -> None:
    text = document.read_text(encoding="utf-8")

    assert [f"{shlex.join(words)}: {wrong}" for words in commands(text) for wrong in wrong_in(words)] == []


def test_the_manual_shows_commands_of_every_script() -> None:
    texts = [document.read_text(encoding="utf-8") for document in DOCUMENTS]
    shown = {Path(word).name for text in texts for words in commands(text) for word in words}

    assert {*SCRIPTS, "demo", "test", "install", "emulator"} <= shown


@pytest.mark.parametrize(
    "command",
    [
        "make nothing",
        "python no_such_script.py",
        "python main.py --no-such-option",
        "python main.py --dry",
        "python -m no_such_module",
        "python -m emulator --no-such-option -- true",
        "python -m emulator --port 1 -- python set_time.py --json",
        "globus-auto run",
    ],
)
def test_a_command_that_is_not_true_is_found(command: str) -> None:
    assert list(wrong_in(shlex.split(command)))


# A page that is written from what was found may name a file of a library.
WRITTEN_BY_HAND = [path for path in DOCUMENTS if path.name != "reliability.md"]


@pytest.mark.parametrize("document", WRITTEN_BY_HAND, ids=lambda path: str(path.name))
def test_every_script_that_a_document_names_exists(document: Path) -> None:
    known = {path.name for pattern in ("*.py", "autotransfer/**/*.py", "tests/**/*.py") for path in ROOT.glob(pattern)}
    folders = ("benchmarks", "docs", "emulator", "samples")
    known |= {path.name for folder in folders for path in ROOT.glob(f"{folder}/*.py")} | {"config_local.py"}

    # A name at the end of a longer path, such as /etc/transfer/detector2.py, is an example's.
    named = set(re.findall(r"(?<![\w/.*<-])[a-z]\w*\.py\b", document.read_text(encoding="utf-8")))

    assert named - known == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))
def test_every_link_in_a_document_leads_somewhere(document: Path) -> None:
    assert wrong_links(document, document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("link", ["[a](docs/nowhere.md)", "[a](#nowhere)", "[a](docs/limits.md#nowhere)"])
def test_a_link_that_leads_nowhere_is_found(link: str) -> None:
    assert wrong_links(ROOT / "README.md", f"# Somewhere\n\n{link}\n")


def wrong_links(document: Path, text: str) -> list[str]:
    """The links in a document's text to files or headings that there are not."""
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            wrong.append(link)
    return wrong


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings; what looks like one in a code block is none."""
    plain = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", plain, re.MULTILINE)}


def test_the_readme_leads_to_every_page() -> None:
    pages = {f"docs/{path.name}" for path in ROOT.glob("docs/*.md")}

    assert pages - set(re.findall(r"\]\(([^)#\s]+)", section("Documentation", README))) == set()


# ---- messages ----------------------------------------------------------------------------------------------------


def strings() -> Iterator[str]:
    """Every text in the sources, with what is put in left out."""
    for path in (*ROOT.glob("*.py"), *ROOT.glob("autotransfer/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def quoted() -> list[str]:
    """The messages that are explained: what stands in the first column of the tables of the troubleshooting."""
    return [span for row in rows(TROUBLESHOOTING) for span in code_spans(row[0])]


def unknown_words(message: str, said: str) -> list[str]:
    """The parts of a quoted message that no source holds."""
    for words in FOREIGN:
        message = message.replace(words, "...")
    parts = [part.strip(" .'") for part in STAND_IN.split(message)]
    return [part for part in parts if len(part) > 3 and part not in said]


def test_every_message_that_the_troubleshooting_explains_is_one_that_the_scripts_say() -> None:
    said = "\n".join(strings())
    # A count or a part of the log's line is no message.
    messages = [message for message in quoted() if "=" not in message]

    unknown = {message: wrong for message in messages if (wrong := unknown_words(message, said))}

    assert len(messages) > 40
    assert unknown == {}
    assert unknown_words("Task ... was eaten by a grue (CODE).", said)


def test_every_notice_of_a_run_is_explained() -> None:
    explained = " ".join(quoted())
    unexplained = []
    for path in ROOT.glob("autotransfer/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".notice")):
                continue
            texts = [
                part.value
                for argument in node.args[2:]
                for part in ast.walk(argument)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            ]
            pieces = [piece.strip(" (.") for text in texts for piece in re.split(r"[,.:;(]", text)]
            if not any(len(piece) > 6 and piece in explained for piece in pieces):
                unexplained.append(f"{path.name}:{node.lineno} {texts}")

    assert unexplained == []


def test_the_changelog_says_what_each_release_brought() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", changelog, re.MULTILINE)

    assert titles[0] == "Unreleased"
    assert len(titles) > 1
    assert all(section(title, changelog).count("\n- ") > 3 for title in titles[1:])

"""What the sources never do: turn text or data into code, or hand it to a shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from suite import ROOT

PRODUCT = sorted({*ROOT.glob("*.py"), *(ROOT / "autotransfer").rglob("*.py")} - {ROOT / "config_local.py"})
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "execfile", "input_eval"),
    *("os.system", "os.popen", "os.execv", "os.execl", "os.execvp", "os.spawnl", "subprocess.getoutput"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "marshal.load", "shelve.open", "dill.loads"),
    *(
        "yaml.load",
        "yaml.unsafe_load",
        "importlib.import_module",
        "runpy.run_path",
        "code.interact",
        "ctypes.CDLL",
        "ctypes.PyDLL",
    ),
}
FORBIDDEN_MODULES = {
    "yaml",
    "marshal",
    "dill",
    "cloudpickle",
    "joblib",
    "runpy",
    "ctypes",
    "codeop",
    "imp",
    "telnetlib",
}
# Each with the one reason that it is there.
ALLOWED = {
    ("autotransfer/common/config_files.py", "_run", "exec"),  # the owner's configuration is Python by design
    ("autotransfer/common/config_files.py", "_run", "compile"),
    ("utils.py", "_read_names_as_utf8", "os.execv"),  # this very program, again
    ("autotransfer/datastore/pickles.py", "", "pickle.Unpickler"),  # it finds no name: see test_hostile_datastore.py
    ("autotransfer/scan/linux.py", "_statx", "import ctypes"),  # one function of the C library that runs anyway
    ("autotransfer/scan/linux.py", "_statx", "ctypes.CDLL"),
    ("autotransfer/scan/linux.py", "_statx", "ctypes.PyDLL"),
    ("autotransfer/scan/linux.py", "die_with_parent", "import ctypes"),  # another one of it
    ("autotransfer/scan/linux.py", "die_with_parent", "ctypes.CDLL"),
    ("autotransfer/scan/linux.py", "__init__", "import ctypes"),  # room for what it fills in
}


def dotted(node: ast.expr) -> str:
    """The name of what is called: `a`, `a.b`; of a longer chain its last two."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value).rpartition(".")[2]
        return f"{before}.{node.attr}" if before else node.attr
    return ""


def findings(source: str) -> Iterator[tuple[str, str]]:
    """(function, what) for everything in a source that could turn data into code."""
    tree = ast.parse(source)
    within = {}
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            within.update({id(node): function.name for node in ast.walk(function)})
    for node in ast.walk(tree):
        where = within.get(id(node), "")
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in FORBIDDEN_CALLS or name.rpartition(".")[2] == "Unpickler":
                yield where, name
            for keyword in node.keywords:
                if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value):
                    yield where, "shell=True"
        elif isinstance(node, ast.ClassDef):
            yield from ((where, dotted(base)) for base in node.bases if dotted(base).endswith("Unpickler"))
        elif isinstance(node, ast.Import):
            yield from ((where, f"import {one.name}") for one in node.names if one.name in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{one.name}" for one in node.names}
            yield from ((where, f"import {name}") for name in names & FORBIDDEN_CALLS)
            if node.module in FORBIDDEN_MODULES:
                yield where, f"import {node.module}"


def test_nothing_but_the_configuration_is_ever_run() -> None:
    assert len(PRODUCT) > 30
    found = {
        (str(path.relative_to(ROOT)), where, what) for path in PRODUCT for where, what in findings(path.read_text())
    }

    assert found == ALLOWED


@pytest.mark.parametrize(
    "bad",
    [
        "eval(text)",
        "def f(x):\n    exec(x)",
        "import pickle\npickle.loads(x)",
        "from pickle import loads",
        "class Mine(pickle.Unpickler): pass",
        "import yaml",
        "subprocess.run(words, shell=True)",
        "subprocess.run(words, shell=is_shell)",
        "os.system('ls')",
        "__import__(name)",
        "shelve.open(path)",
    ],
)
def test_each_of_these_would_be_found(bad: str) -> None:
    assert list(findings(bad))


def test_harmless_calls_are_not_found() -> None:
    assert (
        list(findings("re.compile(x)\nconnection.execute(q)\nsubprocess.run(w, shell=False)\nmodel.eval_now()")) == []
    )

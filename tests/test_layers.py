"""The packages and who may import whom, read from the source; each rule is tried on a source that breaks it."""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from suite import ROOT

CORE = "autotransfer"
SCRIPTS = {"main", "set_time", "test_config", "utils"} | {path.stem for path in ROOT.glob("*.py")} - {
    "__init__",
    "config",
    "config_local",
}

# Bottom up. A package may import itself and what its row names; a row can only name rows above it.
MAY_IMPORT: dict[str, list[str]] = {
    "common": [],
    "globus": ["common"],
    "datastore": ["common"],
    "scan": ["common", "datastore"],
    "plan": ["common", "datastore", "scan"],
    "transfer": ["common", "datastore", "globus", "plan"],
    "run": ["common", "datastore", "globus", "scan", "plan", "transfer"],
    "timers": ["common", "globus"],
    "checks": ["common", "datastore", "globus", "scan", "plan"],
    "status": ["common", "datastore", "scan", "plan"],
    "monitoring": ["common", "datastore", "status"],
}
# The same for the emulator.
EMULATOR_MAY_IMPORT: dict[str, list[str]] = {
    "clock": [],
    "errors": [],
    "faults": ["clock", "errors"],
    "auth": ["clock", "errors"],
    "transfer": ["clock", "errors", "auth"],
    "timers": ["clock", "errors", "auth", "transfer"],
    "world": ["clock", "errors", "faults", "auth", "transfer", "timers"],
    "snapshot": ["clock", "transfer", "timers", "world"],
    "http": ["clock", "errors", "faults", "auth", "transfer", "timers", "world", "snapshot"],
    "__main__": ["clock", "errors", "auth", "transfer", "world", "http"],
}
TABLES = {CORE: MAY_IMPORT, "emulator": EMULATOR_MAY_IMPORT}
# Modules that only certain packages may import. jwt comes with globus_sdk; token_storage and failures name sqlite3
# to catch the errors of the SDK's token storage.
ONLY_IN: dict[str, set[str]] = {
    "globus_sdk": {"globus"},
    "jwt": {"globus"},
    "sqlite3": {"datastore.shelf", "datastore.store", "globus.token_storage", "globus.failures"},
    "shelve": {"datastore.shelf"},
    "pickle": {"datastore.pickles"},
    "ctypes": {"scan.linux"},
    "marshal": set(),
    "dbm": set(),
    "argparse": set(),
    "getpass": set(),
    "fcntl": {"common.run_lock"},
    "signal": {"scan.pool", "monitoring.notify"},
    "socket": set(),
    "subprocess": {"monitoring.notify"},
    "urllib": {"monitoring.ping", "transfer.listed_paths"},
    # The first two ask about packages, and import none; autotransfer itself replaces compiled files that are damaged.
    "importlib": {"checks.optional", "common.version", ""},
}
# Packages of the extras: the one module that may import each, when it is asked for what needs it.
EXTRAS = {"distributed": "scan.pool", "jinja2": "status.html.page"}
# Modules that compute only: no file, no clock, no network. What they may import of the library is a closed list.
PURE = {
    *("common.errors", "common.faults", "common.folding", "common.paths", "common.setting_checks", "common.settings"),
    *("common.service", "common.summary", "common.text", "common.times"),
    *("datastore.columns", "datastore.evidence", "datastore.folder_times", "datastore.record", "datastore.schema"),
    *("datastore.tasks", "datastore.trie", "datastore.twins"),
    *("scan.listing", "scan.walk_order"),
    *("plan.batches", "plan.compare", "plan.in_flight", "plan.own_copies", "plan.whole_folders"),
    *("transfer.credit", "transfer.listed_paths", "transfer.results", "transfer.task_status"),
    *("timers.describe", "timers.documents", "timers.items_file"),
    *("status.as_json", "status.as_text", "status.verdict"),
    *("monitoring.alerts",),
}
PURE_STDLIB = {
    *(
        "__future__",
        "array",
        "collections",
        "csv",
        "datetime",
        "difflib",
        "enum",
        "fnmatch",
        "heapq",
        "itertools",
        "re",
        "sys",
    ),
    *("shlex", "typing", "unicodedata", "urllib", "zlib"),
}
# What may be used of the modules that also have impure parts; realpath looks at symlinks, for `set_time.py --path`.
PURE_PARTS = {
    "os": {"os.path.join", "os.path.normpath", "os.path.split"},
    "sys": {"sys.byteorder"},
}
PURE_EXCEPTIONS = {"common.paths": {"os.path.realpath"}}
CLOCK_CALLS = {"now", "utcnow", "today"}
# What may be called while a module is imported: it makes values, and does nothing.
MAKERS = {
    "re.compile",
    "logging.getLogger",
    "property",
    "tuple",
    "set",
    "frozenset",
    "dict",
    "dict.fromkeys",
    "TypeVar",
}
EMULATOR_MAKERS = MAKERS | {"dataclass", "field", "lru_cache", "functools.lru_cache", "uuid.UUID"}
# In settings they make the table, which is the type Settings itself.
SETTINGS_MAKERS = MAKERS | {"setting", "_rows", "checks.number", "checks.whole", "checks.one_of", "checks.some_of"}
OWN_MAKERS = {
    "utils": MAKERS | {"os.path.dirname", "os.path.realpath"},
    "autotransfer": MAKERS | {"_cannot_write_whole"},  # it must act before other modules are imported
    "autotransfer.common.settings": SETTINGS_MAKERS,
}
PLAIN_STATEMENTS = (
    *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
    *(ast.Assign, ast.AnnAssign, ast.Pass),
)


class Module(NamedTuple):
    """One source file: its dotted name (`autotransfer.globus.tasks`, `main`) and what it says."""

    name: str
    tree: ast.Module

    @property
    def module_name(self) -> str:
        """Its name inside autotransfer or the emulator, "" for these themselves and for what lies outside them."""
        return self.name.partition(".")[2] if self.top in TABLES else ""

    @property
    def package(self) -> str:
        """The package in autotransfer or the emulator that it is in; `run` and the like stand for themselves."""
        return self.module_name.partition(".")[0]

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]


class Imported(NamedTuple):
    """One imported module, the names taken from it, and whether this happens when the importing module is imported."""

    module: str
    names: tuple[str, ...]
    is_at_import: bool


OWNERS = {"config", "config_local"}  # modules that hold a route's settings
Rule = Callable[[Module], Iterator[str]]


def parse(name: str, source: str) -> Module:
    return Module(name, ast.parse(source))


def modules(*patterns: str) -> list[Module]:
    """The source files of the repository that match."""
    found = []
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(parse(name, path.read_text(encoding="utf-8")))
    return found


PRODUCT = modules("autotransfer/**/*.py")
EMULATOR = modules("emulator/**/*.py")
TOP = [module for module in modules("*.py") if module.name not in ("", "config_local")]  # the latter is an owner's
TESTS = modules("tests/**/*.py")
BY_NAME = {module.name: module for module in (*PRODUCT, *TOP, *EMULATOR)}


def imports(module: Module) -> Iterator[Imported]:
    """Everything a module imports, anywhere in it; `from package import module` counts as an import of the module."""
    late = {id(node) for node in _late_nodes(module.tree)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Imported(alias.name, (), id(node) not in late)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module.name, node)
            names = tuple(alias.name for alias in node.names)
            module_names = [f"{base}.{name}" for name in names if f"{base}.{name}" in BY_NAME]
            for target in module_names or [base]:
                yield Imported(target, names, id(node) not in late)


def _base(name: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    return importlib.util.resolve_name("." * node.level + (node.module or ""), name.rpartition(".")[0] or name)


def _late_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that do not run when the module is imported."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in node.body:
                yield from ast.walk(statement)
        elif isinstance(node, ast.Lambda):
            yield from ast.walk(node.body)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'"):
            for statement in node.body:
                yield from ast.walk(statement)


def stdlib() -> set[str]:
    """The names of the standard library's modules; Python 3.9 has no list of them."""
    folders = [Path(sysconfig.get_path(key)) for key in ("stdlib", "platstdlib")]
    folders += [folder / "lib-dynload" for folder in folders]
    found = {path.name.partition(".")[0] for folder in folders if folder.is_dir() for path in folder.iterdir()}
    return found | set(sys.builtin_module_names) | {"__future__"}


STDLIB = stdlib()


# ---- the rules: each gives what is wrong with a module ----------------------------------------------------------


def imports_point_one_way(module: Module) -> Iterator[str]:
    if not module.module_name:
        return
    for imported in imports(module):
        top, _, rest = imported.module.partition(".")
        if top == module.top:
            target = rest.partition(".")[0]
            if target != module.package and target not in TABLES[top].get(module.package, []):
                yield f"{module.package} may not import {target or 'everything'}"


def core_needs_the_sdk_alone(module: Module) -> Iterator[str]:
    for imported in imports(module):
        top = imported.module.partition(".")[0]
        if top in EXTRAS and module.module_name == EXTRAS[top] and not imported.is_at_import:
            continue
        if top not in STDLIB and top not in (CORE, "globus_sdk", "jwt"):
            yield f"{imported.module} is neither the standard library nor globus_sdk"


def special_modules_stay_in_their_places(module: Module) -> Iterator[str]:
    for imported in imports(module):
        top = imported.module.partition(".")[0]
        if top in ONLY_IN and not ONLY_IN[top] & {module.module_name, module.package}:
            yield f"{imported.module} is not for {module.name}"


def the_engine_neither_prints_nor_asks_nor_exits(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and node.id in {"print", "input", "exit", "quit", "SystemExit", "breakpoint"}:
            yield f"line {node.lineno}: {node.id}"
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if text in {"sys.exit", "os._exit", "sys.stdout", "sys.stderr", "sys.stdin", "sys.argv"}:
                yield f"line {node.lineno}: {text}"
            if node.attr in {"addHandler", "basicConfig", "StreamHandler", "FileHandler"}:
                yield f"line {node.lineno}: {text}; log handlers are made in utils"


def pure_rooms_touch_nothing(module: Module) -> Iterator[str]:
    if module.module_name not in PURE:
        return
    for imported in imports(module):
        top = imported.module.partition(".")[0]
        if top != CORE and top not in PURE_STDLIB | set(PURE_PARTS):
            yield f"{imported.module} is imported"
        if top in PURE_PARTS and imported.names:
            yield f"from {top} import hides what is used of it"
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Name)
            and isinstance(node.ctx, ast.Load)
            and node.id in {"open", "__import__", "exec", "eval"}
        ):
            yield f"line {node.lineno}: {node.id}"
        if isinstance(node, ast.Attribute) and node.attr in CLOCK_CALLS:
            yield f"line {node.lineno}: {ast.unparse(node)} asks the clock"
    allowed = {part for parts in PURE_PARTS.values() for part in parts} | PURE_EXCEPTIONS.get(module.module_name, set())
    for used in _attribute_chains(module.tree):
        if used.partition(".")[0] in PURE_PARTS and used not in allowed:
            yield f"{used} is used"


def _attribute_chains(tree: ast.AST) -> Iterator[str]:
    """The longest dotted names, such as os.path.join."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Name)) and id(node) not in inner:
            yield ast.unparse(node)


def product_and_emulator_are_strangers(module: Module) -> Iterator[str]:
    stranger = "emulator" if module.top != "emulator" else CORE
    for imported in imports(module):
        if imported.module.partition(".")[0] == stranger and imported.module != f"{CORE}.common.version":
            yield f"{stranger} is imported"


def rooms_know_no_script(module: Module) -> Iterator[str]:
    for imported in imports(module):
        if imported.module in SCRIPTS:
            yield f"the script {imported.module} is imported"


def nothing_imports_the_configuration(module: Module) -> Iterator[str]:
    for imported in imports(module):
        if imported.module in OWNERS or (imported.module in ("", ".") and OWNERS & set(imported.names)):
            yield "config is imported: it is a route's settings, read with --config and checked"


def scripts_import_no_script_but_utils(module: Module) -> Iterator[str]:
    for imported in imports(module):
        if imported.module in SCRIPTS - {"utils"}:
            yield f"{imported.module} is imported; what scripts share belongs into utils"


def nothing_happens_at_import(module: Module) -> Iterator[str]:
    makers = OWN_MAKERS.get(module.name, EMULATOR_MAKERS if module.top == "emulator" else MAKERS)
    own = _own_makers(module.tree)
    late = {id(node) for node in _late_nodes(module.tree)}
    for statement in module.tree.body:
        is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        is_guard = (
            isinstance(statement, ast.If) and not statement.orelse and all(id(node) in late for node in statement.body)
        )
        if not isinstance(statement, PLAIN_STATEMENTS) and not is_docstring and not is_guard:
            yield f"line {statement.lineno}: a {type(statement).__name__} runs at import"
    for node in ast.walk(module.tree):
        if id(node) in late:
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func) not in makers | own:
            yield f"line {node.lineno}: {ast.unparse(node.func)}() is called at import"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "sys.argv", "sys.path"}:
            yield f"line {node.lineno}: {ast.unparse(node)} is read at import"


def _own_makers(tree: ast.Module) -> set[str]:
    """Plain classes of the module itself, and functions of it that only make another function."""
    own = {f"set[{kind}]" for kind in ("str", "int")}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base) for base in node.bases}
            decorators = {ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list}
            if "NamedTuple" in bases or "dataclass" in decorators:
                own.add(node.name)
        elif isinstance(node, ast.FunctionDef):
            *inner, last = node.body
            gives_function = isinstance(last, ast.Return) and isinstance(last.value, (ast.Lambda, ast.Name))
            if gives_function and all(isinstance(statement, ast.FunctionDef) for statement in inner):
                own.add(node.name)
    return own


def configuration_is_plain_values(module: Module) -> Iterator[str]:
    for statement in module.tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if not isinstance(statement, ast.Assign) or not ast.unparse(statement.targets[0]).isupper():
            yield f"line {statement.lineno}: {ast.unparse(statement)} is no setting"
            continue
        try:
            ast.literal_eval(statement.value)
        except ValueError:
            yield f"line {statement.lineno}: {ast.unparse(statement.value)} is no plain value"


def no_test_imports_a_script(module: Module) -> Iterator[str]:
    for imported in imports(module):
        if imported.module in SCRIPTS - {"utils"} | {"config"}:
            yield f"{imported.module} is imported: run it as cron would"


RULES: dict[Rule, list[Module]] = {
    imports_point_one_way: [*PRODUCT, *EMULATOR],
    core_needs_the_sdk_alone: PRODUCT,
    special_modules_stay_in_their_places: PRODUCT,
    the_engine_neither_prints_nor_asks_nor_exits: PRODUCT,
    pure_rooms_touch_nothing: PRODUCT,
    product_and_emulator_are_strangers: [*PRODUCT, *TOP, *EMULATOR],
    rooms_know_no_script: [*PRODUCT, *EMULATOR],
    nothing_imports_the_configuration: [*PRODUCT, *TOP, *EMULATOR],
    scripts_import_no_script_but_utils: TOP,
    nothing_happens_at_import: [*PRODUCT, *TOP, *EMULATOR],
    configuration_is_plain_values: [BY_NAME["config"]],
    no_test_imports_a_script: TESTS,
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    checked = RULES[rule]

    assert checked
    assert [f"{module.name}: {finding}" for module in checked for finding in rule(module)] == []


OFFENDERS = [
    (imports_point_one_way, "autotransfer.datastore.trie", "from autotransfer.scan.folders import open_root"),
    (imports_point_one_way, "autotransfer.common.errors", "def late():\n    import autotransfer.globus.failures"),
    (imports_point_one_way, "autotransfer.datastore.trie", "from autotransfer import scan"),
    (imports_point_one_way, "autotransfer.globus.tasks", "from ..run import Run"),
    (
        imports_point_one_way,
        "autotransfer.plan.compare",
        "if TYPE_CHECKING:\n    from autotransfer.globus.tasks import Tasks",
    ),
    (imports_point_one_way, "emulator.transfer.task", "from emulator.world import World"),
    (imports_point_one_way, "autotransfer.brand_new", "from autotransfer.common.errors import Problem"),
    (core_needs_the_sdk_alone, "autotransfer.run", "import requests"),
    (special_modules_stay_in_their_places, "autotransfer.transfer.submit", "from globus_sdk import TransferData"),
    (special_modules_stay_in_their_places, "autotransfer.datastore.tasks", "import sqlite3"),
    (special_modules_stay_in_their_places, "autotransfer.globus.tasks", "import pickle"),
    (special_modules_stay_in_their_places, "autotransfer.datastore.store", "import dbm.dumb"),
    (special_modules_stay_in_their_places, "autotransfer.run", "import argparse"),
    (the_engine_neither_prints_nor_asks_nor_exits, "autotransfer.run", "def f():\n    print('done')"),
    (the_engine_neither_prints_nor_asks_nor_exits, "autotransfer.globus.login", "code = lambda: input('code: ')"),
    (the_engine_neither_prints_nor_asks_nor_exits, "autotransfer.datastore.store", "def f():\n    sys.exit(5)"),
    (the_engine_neither_prints_nor_asks_nor_exits, "autotransfer.datastore.store", "def f():\n    raise SystemExit"),
    (the_engine_neither_prints_nor_asks_nor_exits, "autotransfer.run", "def f():\n    log.addHandler(x)"),
    (pure_rooms_touch_nothing, "autotransfer.datastore.trie", "import time"),
    (pure_rooms_touch_nothing, "autotransfer.common.times", "from pathlib import Path"),
    (pure_rooms_touch_nothing, "autotransfer.common.settings", "import os\ndef f(p):\n    return os.path.exists(p)"),
    (pure_rooms_touch_nothing, "autotransfer.common.settings", "from os import path"),
    (pure_rooms_touch_nothing, "autotransfer.transfer.results", "def f(p):\n    return open(p)"),
    (pure_rooms_touch_nothing, "autotransfer.datastore.tasks", "def f():\n    return datetime.now()"),
    (pure_rooms_touch_nothing, "autotransfer.plan.compare", "import stat"),
    (product_and_emulator_are_strangers, "autotransfer.run", "from emulator.http.server import Emulator"),
    (product_and_emulator_are_strangers, "main", "def f():\n    import emulator"),
    (product_and_emulator_are_strangers, "emulator.transfer.task", "from autotransfer.common.paths import join"),
    (rooms_know_no_script, "autotransfer.run", "import utils"),
    (nothing_imports_the_configuration, "utils", "import config"),
    (nothing_imports_the_configuration, "autotransfer.common.settings", "from config import SRC_DIR"),
    (scripts_import_no_script_but_utils, "set_time", "from main import main"),
    (nothing_happens_at_import, "autotransfer.run", "STARTED = time.time()"),
    (nothing_happens_at_import, "autotransfer.run", "class Run:\n    lock = threading.Lock()"),
    (nothing_happens_at_import, "autotransfer.run", "def f(now=time.time()): ..."),
    (nothing_happens_at_import, "autotransfer.run", "def load():\n    return open('x')\nX = load()"),
    (nothing_happens_at_import, "main", "for name in NAMES:\n    pass"),
    (nothing_happens_at_import, "main", "try:\n    import fcntl\nexcept ImportError:\n    fcntl = None"),
    (nothing_happens_at_import, "utils", "if IS_LINUX:\n    FAST = True"),
    (nothing_happens_at_import, "main", "if TYPE_CHECKING:\n    import json\nelse:\n    json = None"),
    (nothing_happens_at_import, "autotransfer.globus.login", "HOME = os.environ['HOME']"),
    (nothing_happens_at_import, "emulator.http.server", "SERVER = Server()"),
    (configuration_is_plain_values, "config", "import os"),
    (configuration_is_plain_values, "config", "SRC_DIR = os.getcwd()"),
    (configuration_is_plain_values, "config", "src_dir = ''"),
    (no_test_imports_a_script, "tests.test_x", "import main"),
    (no_test_imports_a_script, "tests.test_x", "from test_config import check"),
]


@pytest.mark.parametrize(
    ("rule", "name", "source"), OFFENDERS, ids=lambda value: str(getattr(value, "__name__", value))
)
def test_the_rule_finds_an_offender(rule: Rule, name: str, source: str) -> None:
    assert list(rule(parse(name, source)))


def test_every_rule_has_an_offender() -> None:
    assert {rule for rule, _, _ in OFFENDERS} == set(RULES)


@pytest.mark.parametrize("top", TABLES)
def test_the_table_points_one_way_and_names_every_package(top: str) -> None:
    order = list(TABLES[top])

    upward = [
        (package, other)
        for package, others in TABLES[top].items()
        for other in others
        if order.index(other) >= order.index(package)
    ]

    assert upward == []
    assert {module.package for module in (*PRODUCT, *EMULATOR) if module.top == top} - {""} == set(order)


def test_modules_are_free_of_circles() -> None:
    names = {module.name: module for module in (*PRODUCT, *EMULATOR)}
    needs = {
        name: {found.module for found in imports(module) if found.module in names} for name, module in names.items()
    }
    while free := {name for name, others in needs.items() if not others & set(needs)}:
        needs = {name: others for name, others in needs.items() if name not in free}

    assert needs == {}


def test_the_pure_modules_are_there() -> None:
    assert {module.module_name for module in PRODUCT} >= PURE


@pytest.mark.parametrize("script", ["main", "set_time", "status"])
def test_a_script_that_has_nothing_to_say_to_globus_imports_no_sdk(script: str) -> None:
    seen, todo = set(), [script]
    while todo:
        name = todo.pop()
        if name in BY_NAME and name not in seen:
            todo += [imported.module for imported in imports(BY_NAME[name]) if imported.is_at_import]
        seen.add(name)

    assert {f"{CORE}.run", f"{CORE}.plan.set_times", f"{CORE}.status.state"} & seen
    assert not {name for name in seen if name.startswith(("globus_sdk", f"{CORE}.globus"))}


def test_no_file_at_the_root_hides_a_module_of_the_standard_library() -> None:
    assert {"select", "token", "types", "html", "sys"} <= STDLIB
    assert {path.stem for path in ROOT.glob("*.py")} & (STDLIB - {"__init__"}) == set()


def test_the_root_is_never_a_package_for_pytest() -> None:
    assert (ROOT / "__init__.py").read_bytes() == b""
    assert not (ROOT / "conftest.py").exists()
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    assert list((ROOT / "autotransfer").rglob("test_*.py")) == []

"""What others need: one version everywhere, the license, and files that the tools which read them can read."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from programs import needs
from suite import ROOT

from autotransfer.common.files import NAMES
from autotransfer.common.version import __version__

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
SCRIPTS = ("main.py", "set_time.py", "test_config.py", "status.py", "timer.py")
YAML_FILES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob(".github/**/*.yml"), ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml")
)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def loaded(name: str) -> Any:
    """A YAML file; PyYAML comes with the extra [dask]."""
    return pytest.importorskip("yaml").safe_load(text_of(name))


def listed(key: str) -> list[str]:
    """The strings in one of pyproject.toml's lists; Python 3.9 has no reader of TOML."""
    found = re.search(rf"^{key} = \[(.*?)\]$", PYPROJECT, re.MULTILINE | re.DOTALL)
    assert found
    return re.findall(r'"([^"]*)"', found[1])


# ---- the version -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [*([script] for script in SCRIPTS), ["-m", "emulator"]], ids=" ".join)
def test_every_script_prints_the_versions_and_imports_no_sdk_for_it(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "globus_sdk.py").write_text("raise RuntimeError('imported')\n", encoding="utf-8")
    command = [sys.executable, *words, "--version"]
    environment = {"PYTHONPATH": str(tmp_path)}

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)

    python = ".".join(map(str, sys.version_info[:3]))
    assert done.stderr == ""
    assert re.fullmatch(
        rf"globus-automated-transfer {re.escape(__version__)}, globus-sdk 4\.\S+, Python {re.escape(python)}\S*\n",
        done.stdout,
    )


def test_the_version_stands_in_one_place_and_is_the_newest_of_the_changelog() -> None:
    releases = re.findall(r"^## (\d+\.\d+\.\d+) \((.+)\)$", text_of("CHANGELOG.md"), re.MULTILINE)
    dates = [datetime.date.fromisoformat(date) for _, date in releases]

    assert releases[0][0] == __version__
    assert dates == sorted(dates, reverse=True)
    assert 'dynamic = ["version"]' in PYPROJECT
    assert 'version = { attr = "autotransfer.common.version.__version__" }' in PYPROJECT
    assert re.findall(r'^version = "', PYPROJECT, re.MULTILINE) == []


def test_the_citation_and_the_report_of_a_bug_name_the_newest_release() -> None:
    citation = loaded("CITATION.cff")
    newest = re.search(r"^## \d+\.\d+\.\d+ \((.+)\)$", text_of("CHANGELOG.md"), re.MULTILINE)

    assert newest
    assert (citation["version"], citation["date-released"]) == (__version__, newest[1])
    assert f"globus-automated-transfer {__version__}, " in text_of(".github/ISSUE_TEMPLATE/bug.yml")


# ---- what pip and make read --------------------------------------------------------------------------------------


def test_make_copies_what_pyproject_toml_refers_to() -> None:
    copied = re.search(r"^METADATA = (.*)$", MAKEFILE, re.MULTILINE)
    assert copied
    needed = {"pyproject.toml", *listed("license-files"), "autotransfer/common/version.py"}

    assert set(copied[1].split()) == needed
    assert all((ROOT / name).is_file() for name in needed)


def test_the_license_is_that_of_the_metadata_and_the_notice_holds_that_of_d3() -> None:
    license_text = text_of("LICENSE")
    words = " ".join(text_of("NOTICE").split())

    assert 'license = "Apache-2.0"' in PYPROJECT and loaded("CITATION.cff")["license"] == "Apache-2.0"
    assert "Apache License" in license_text and "END OF TERMS AND CONDITIONS" in license_text
    assert " ".join(text_of("autotransfer/status/html/parts/d3.LICENSE").split()) in words


@needs("git")
def test_git_ignores_what_belongs_to_an_owner(tmp_path: Path) -> None:
    own = [*NAMES, "log.1", "datastore-journal", "config_local.py"]
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)

    shown = subprocess.run(["git", "check-ignore", *own], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert shown.stdout.split() == own


# ---- what services read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", YAML_FILES)
def test_a_yaml_file_can_be_read(name: str) -> None:
    assert len(YAML_FILES) >= 5
    assert isinstance(loaded(name), dict)


def test_the_workflow_runs_on_every_python_and_sdk_that_the_metadata_name() -> None:
    jobs = loaded(".github/workflows/ci.yml")["jobs"]
    pythons = [found for one in listed("classifiers") if (found := one.rpartition(" :: ")[2]).startswith("3.")]
    (dependency,) = listed("dependencies")
    lowest = dependency.partition(">=")[2].partition(",")[0]

    assert jobs["tests"]["strategy"]["matrix"]["python"] == pythons
    assert f'requires-python = ">={pythons[0]}"' in PYPROJECT
    assert {system.partition("-")[0] for system in jobs["tests"]["strategy"]["matrix"]["system"]} == {"ubuntu", "macos"}
    assert jobs["globus-sdk"]["strategy"]["matrix"]["sdk"] == [
        f"=={lowest}.0",
        dependency.partition("globus-sdk")[2],
    ]
    steps = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = {word for step in steps if step.startswith("make ") for word in step.split()[1:]}
    assert {".ci/run", "make test"} <= set(steps)
    for target in targets:
        stamp = re.sub(r"^\.venv(-cli)?/", lambda found: f"$(VENV{'_CLI' if found[1] else ''})/", target)
        assert re.search(rf"^{re.escape(stamp)}:", MAKEFILE, re.MULTILINE), target


def test_what_is_installed_has_one_version_and_its_checksums() -> None:
    """For each Python that the metadata name; pip refuses the whole file if one checksum is missing."""
    text = text_of("requirements.txt").replace("\\\n", "")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    names = {line.partition("==")[0] for line in lines}
    (dependency,) = listed("dependencies")
    lowest, below = re.findall(r"[\d.]+", dependency)
    (sdk,) = (line for line in lines if line.startswith("globus-sdk=="))
    version = tuple(map(int, sdk.partition("==")[2].split()[0].split(".")))

    assert {"globus-sdk", "requests", "pyjwt", "cryptography"} <= names
    assert all(re.fullmatch(r"[\w-]+==\S+ (; [^-]+)?( *--hash=sha256:[0-9a-f]{64})+ *", line) for line in lines)
    assert tuple(map(int, lowest.split("."))) <= version < (int(below),)


def test_the_report_of_a_bug_asks_for_what_is_needed() -> None:
    template = text_of(".github/ISSUE_TEMPLATE/bug.yml")
    ids = [part["id"] for part in loaded(".github/ISSUE_TEMPLATE/bug.yml")["body"] if "id" in part]

    assert {"version", "log", "checks"} <= set(ids)
    assert "main.py --version" in template and "test_config.py --json" in template


def test_the_citation_has_what_its_format_demands() -> None:
    citation = loaded("CITATION.cff")

    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert all(set(author) <= {"name", "family-names", "given-names"} for author in citation["authors"])

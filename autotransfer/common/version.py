"""Which versions are in use: of this suite, of globus-sdk and of Python. The suite's stands here and nowhere else."""

from __future__ import annotations

import platform
from importlib import metadata

__version__ = "1.0.0"

# Of the JSON documents and the manifest: raised when a name in them goes or changes its meaning, not by a new name.
SCHEMA = 2


def versions() -> str:
    """One line for a report: what every script prints for --version. globus-sdk is not imported for it."""
    try:
        sdk = metadata.version("globus-sdk")
    except metadata.PackageNotFoundError:
        sdk = "missing"
    return f"globus-automated-transfer {__version__}, globus-sdk {sdk}, Python {platform.python_version()}"

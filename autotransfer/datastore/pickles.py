"""Read pickles of builtins, and nothing else: what lies in a datastore must not become code."""

from __future__ import annotations

import io
import pickle
from typing import Any

from autotransfer.common.paths import display


class DamagedValue(Exception):
    """A value is not what this tool writes; says in what way."""


class _Unpickler(pickle.Unpickler):
    """Without a name to call, a pickle can only build numbers, texts, bytes, and containers of them."""

    def find_class(self, module: str, name: str) -> Any:
        raise DamagedValue(f"a value in it names {display(f'{module}.{name}')}; it may hold only plain values")

    def persistent_load(self, pid: Any) -> Any:
        raise DamagedValue("a value in it refers to something outside; it may hold only plain values")


def dump(value: Any) -> bytes:
    """The value as bytes that `load`, and any shelf, reads."""
    pickled = io.BytesIO()
    pickler = pickle.Pickler(pickled, protocol=4)
    pickler.fast = True  # no memo, which takes as long as all the rest: our values hold nothing twice
    pickler.dump(value)
    return pickled.getvalue()


def load(pickled: bytes) -> Any:
    """The value that was pickled: a builtin, of any form.

    Raises:
        DamagedValue: The bytes are damaged, or name code.
    """
    try:
        return _Unpickler(io.BytesIO(pickled)).load()
    except DamagedValue:
        raise
    except Exception as error:  # noqa: BLE001 - for damaged bytes the unpickler raises nearly anything, says its page
        raise DamagedValue(f"a value in it is damaged: {str(error) or type(error).__name__}") from None

"""What a person can do about a fault of a task, by the code that Globus gives it. Pure."""

from __future__ import annotations

SPACE = "Free space at the destination, or have the quota there raised."
REPLACED = (
    "A file has replaced a folder, or a folder a file, and this tool deletes nothing at the destination: move the old "
    "one there out of the way."
)
REMEDIES = {
    "PERMISSION_DENIED": "Give the user that the collection acts as permission: at the source to read, at the "
    "destination to write in DST_DIR. The task's events name the path.",
    "QUOTA_EXCEEDED": SPACE,
    "NO_SPACE_LEFT": SPACE,
    "NOT_A_DIRECTORY": REPLACED,
    "IS_A_DIRECTORY": REPLACED,
    "IS_A_FILE": REPLACED,
    "INVALID_PATH_NAME": "The destination cannot store a name: rename it here, or add it to EXCLUDE.",
    "GC_NOT_CONNECTED": "Start Globus Connect Personal on that machine.",
    "GC_PAUSED": "Unpause Globus Connect Personal on that machine.",
}


def remedy(code: str) -> str:
    """One or more sentences, after a blank; "" where the code says nothing more."""
    return f" {REMEDIES[code.upper()]}" if code.upper() in REMEDIES else ""

"""What a command reads is brought into the caches right before it is timed.

Some virtual machines take their caches away within seconds, and then a figure tells how fast the disk is, and who came
first. What is read here is what every run after the first finds in memory on a machine that is left alone.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Optional

FLOOR_THREADS = 2


def fill(floor: Optional[Path], place: Path) -> None:
    """List every folder and check every file of the tree in `place`/src, and read the datastores beside it.

    Args:
        floor: It only lists folders and checks files; without it the tree is as the command before left it.
    """
    if floor is not None:
        words = [str(floor), str(place / "src"), str(FLOOR_THREADS)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    for datastore in place.glob("*/state/datastore"):
        datastore.read_bytes()

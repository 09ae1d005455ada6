"""Debian's own cron, with a crontab of ours and a mailbox, where the machine's crontabs and mail are not touched.

It runs in mount and pid namespaces of its own. There /var/spool/cron, /etc/crontab, /etc/cron.d, /run and /usr/sbin are
those of the test, /opt/transfer is this checkout, and its config.py is the route's.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from types import TracebackType

from programs import REASON, find
from suite import ROOT, Route

SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
PLACE = "/opt/transfer"
# Each mount is private to the namespace, so its end takes them all away.
SET_UP = """\
set -eu
for old in /opt/*/; do
    if [ -d "$old" ]; then mkdir -p "$BOX$old"; mount --rbind "$old" "$BOX$old"; fi
done
mkdir -p "$BOX{place}"
mount --rbind "$CHECKOUT" "$BOX{place}"
mount --bind "$CONFIG" "$BOX{place}/config.py"
for ours in /opt /var/spool/cron /etc/crontab /etc/cron.d /run /usr/sbin; do mount --rbind "$BOX$ours" "$ours"; done
exec /usr/sbin/cron -f
"""
SENDMAIL = """\
#!/bin/sh
sed '/^X-Cron-Env: <GLOBUS_SDK_SERVICE_URL/d' > {mail}/.coming-$$ # the emulator's address is a secret
mv {mail}/.coming-$$ {mail}/$$
"""


@cache
def why_not() -> str:
    """Why cron cannot be run here; empty when it can."""
    if sys.platform != "linux" or os.geteuid():
        return "cron is started by root, on Linux"
    for program in ("cron", "unshare"):  # without unshare the machine's own crontabs would be in the way
        if find(program) is None:
            return REASON.format(program)
    tried = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"this machine allows no namespaces: {tried.stderr.strip()}"


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []  # it has ended


def crontab_of_the_readme(schedule: str, rewritten: str = r"^\*/5 \* \* \* \*") -> str:
    """The crontab that the README shows, with another schedule, and with the interpreter of these tests."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"^ *(MAILTO=\S+)\n *(\*/5 \* \* \* \* /opt/transfer/\S+ /opt/transfer/main\.py)$", readme, re.M)
    assert shown, "the README shows no crontab"
    line, times = re.subn(rewritten, schedule, shown[2])
    assert times == 1
    if Path(sys.prefix) != ROOT / ".venv":
        line = line.replace(f"{PLACE}/.venv/bin/python", sys.executable)
    return f"{shown[1]}\n{line}\n"


class RealCron:
    """Cron with one crontab, root's; it runs until the end of the `with`.

    Args:
        route: The route whose configuration the checkout at /opt/transfer gets, and where its emulator is.
        crontab: Its lines.
        folder: An empty folder.
    """

    def __init__(self, route: Route, crontab: str, folder: Path) -> None:
        self._box = folder / "secret-box"  # the crontab has the emulator's address
        self._mail = folder / "mail"
        self._said = folder / "cron.out"
        self._route = route
        self._mail.mkdir()
        for ours in ("opt", "var/spool/cron/crontabs", "etc/cron.d", "run", "usr/sbin"):
            (self._box / ours).mkdir(parents=True)
        (self._box / "etc/crontab").touch()
        aim = "".join(f"{name}={value}\n" for name, value in route.environment.items())
        table = self._box / "var/spool/cron/crontabs/root"
        table.write_text(aim + crontab)
        table.chmod(0o600)
        sendmail = self._box / "usr/sbin/sendmail"
        sendmail.write_text(SENDMAIL.format(mail=shlex.quote(str(self._mail))))
        sendmail.chmod(0o755)
        cron = find("cron")
        assert cron
        shutil.copy(cron, self._box / "usr/sbin/cron")

    def __enter__(self) -> RealCron:
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                [*NAMESPACES, "sh", "-c", SET_UP.format(place=PLACE)],
                env={
                    "PATH": SYSTEM_PATH,
                    "BOX": str(self._box),
                    "CHECKOUT": str(ROOT),
                    "CONFIG": str(self._route.config),
                },
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # and with it, by --kill-child, all that cron has started
        self._process.wait()

    def runs(self) -> list[str]:
        """The closing lines of the runs so far."""
        log = self._route.code_path / "log"
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        return [line for line in text.splitlines() if " INFO run status=" in line]

    def wait_for_run(self, number: int, *, seconds: float) -> str:
        """The closing line of the run with this number, from 1, once cron is done with it, and has mailed about it."""
        give_up_at = time.monotonic() + seconds
        while len(self.runs()) < number or self._is_busy():
            assert self._process.poll() is None, f"cron ended: {self._said.read_text()}"
            assert time.monotonic() < give_up_at, f"cron did not end run {number}: {self._said.read_text()}"
            time.sleep(0.1)
        return self.runs()[number - 1]

    def _is_busy(self) -> bool:
        """Whether cron has a child: it keeps one from the start of a run to the end of the mail about it."""
        return any(_children(cron) for cron in _children(self._process.pid))

    def mails(self) -> list[str]:
        """The mails that cron has written, oldest first."""
        files = [path for path in self._mail.iterdir() if not path.name.startswith(".")]
        return [path.read_text() for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

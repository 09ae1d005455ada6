"""Check the configuration, sign in to Globus, and print the crontab line."""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import TYPE_CHECKING

import autotransfer  # noqa: F401 - first: what it does is for all modules after it
import utils
from autotransfer.checks.checklist import Check, Checks
from autotransfer.common.errors import ExitStatus
from autotransfer.common.paths import display

if TYPE_CHECKING:
    import argparse

__test__ = False  # for pytest: this is a script, not a test
EXAMPLES = """\
  python test_config.py                            check all, sign in where needed, print the crontab line
  python test_config.py --no-login                 the same with the stored login only; never asks
  python test_config.py --json --no-login          for a monitoring system
  python test_config.py --config /etc/transfer/run7.py    another route"""
MARKS = {True: "ok", False: "FAIL", None: "--"}
INDENT = " " * 18


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = utils.parser(
        "Check everything that a run needs, in order, with the remedy under each check that fails. In a terminal it "
        "also lets you sign in to Globus: it prints a link to open in a browser and takes the code shown there.",
        EXAMPLES,
    )
    parser.add_argument("--json", action="store_true", help="print the checks as one JSON object")
    parser.add_argument("--no-login", action="store_true", help="ask nothing; use the stored login as it is")
    return parser.parse_args()


def main() -> int:
    """Run the checks. Returns the exit status."""
    chosen = arguments()
    may_ask = not chosen.no_login and utils.has_terminal()
    made = []
    with Checks(
        lambda: utils.load_settings(chosen.config),
        ask=utils.ask_for_code if may_ask else None,
        sign_in_command=command("test_config.py", chosen.config),
    ) as checks:
        for check in checks.each():
            made.append(check)
            if not chosen.json:
                utils.say(_lines(check))
    failed = [check for check in made if check.ok is False]
    line = crontab_line(chosen.config)
    if chosen.json:
        keys = ("name", "ok", "what", "why", "remedy")
        shown = [{key: getattr(check, key) for key in keys} for check in made]
        utils.say(json.dumps({"ok": not failed, "checks": shown, "crontab": line}, indent=1))
    elif failed:
        utils.say(f"\n{len(failed)} of {len(made)} checks failed. Fix them from the top, then run this again.")
    else:
        utils.say(f"\n{_cron_words(made)} add this line with `crontab -e`:\n\n{line}")
    return int(failed[0].exit_status if failed else ExitStatus.DONE)


def command(script: str, config: str | None) -> str:
    """The shell command that runs a script on this route, from any folder."""
    words = [os.path.abspath(sys.executable), os.path.join(utils.CODE_FOLDER, script)]
    if config:
        words += ["--config", utils.config_file(config)]
    return shlex.join(words)


def crontab_line(config: str | None) -> str:
    """The line for the crontab; there a percent sign ends the command unless it is escaped."""
    return "*/5 * * * * " + command("main.py", config).replace("%", "\\%")


def _cron_words(made: list[Check]) -> str:
    unset = " and ".join(check.variable for check in made if check.variable)
    if not unset:
        return "A run would work. For one every five minutes,"
    return (
        f"A run would work here, but not under cron, which does not set {unset}. Once the route needs no such variable,"
    )


def _lines(check: Check) -> str:
    first = f"{MARKS[check.ok]:<5} {check.name:<11} {display(check.what)}"
    below = [line for text in (check.why, check.remedy) for line in text.split("\n") if line]
    return "\n".join([first, *(INDENT + display(line) for line in below)])


if __name__ == "__main__":
    utils.run_script(main)

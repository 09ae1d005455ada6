"""Reads the project's documents: what stands under a heading, in tables, and in `backquotes`."""

from __future__ import annotations

import re


def section(title: str, text: str) -> str:
    """What stands under a heading, down to the next one of its level or above."""
    match = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert match, f"there is no heading {title!r}"
    rest = text[match.end() :]
    following = re.search(rf"^#{{1,{len(match.group(1))}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def rows(text: str) -> list[list[str]]:
    """The cells of all tables in a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rulers = {number for number, line in enumerate(lines) if re.fullmatch(r"[|\s-]+", line)}
    heads = {number - 1 for number in rulers}
    body = [line for number, line in enumerate(lines) if number not in rulers | heads]
    return [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in body]


def code_spans(text: str) -> list[str]:
    """What stands in `backquotes`, outside code blocks."""
    plain = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", plain)

"""The charts of the page, as SVG on white, from results. Needs matplotlib (extra [bench])."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import ours, peers
from benchmarks.goals import seconds_text
from benchmarks.native import DELAY_MS
from benchmarks.results import Results
from benchmarks.running import Figures

OURS, THEIRS, FLOOR = "#0a6ebd", "#9aa5b1", "#d3d9e0"
INK = "#1f2933"
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, sharp, searchable
    "svg.hashsalt": "benchmarks",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
NOTHING_CHANGED = (ours.QUICK, ours.FULL, peers.FLOOR_2, peers.FLOOR_1, *(peer.title for peer in peers.PEERS))


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Draw all charts into a folder; gives the file name of each by what it shows.

    Raises:
        ImportError: There is no matplotlib.
    """
    import matplotlib

    matplotlib.use("svg")
    with matplotlib.rc_context(STYLE):
        title = f"{results.effort.files:,} files, nothing changed: seconds"
        tools = {name: results.main[name] for name in NOTHING_CHANGED if name in results.main}
        drawn = {
            "tools": _bars(title, tools, folder / "benchmarks-tools.svg"),
            "sizes": _sizes(results, folder / "benchmarks-sizes.svg"),
        }
        if results.slow:
            title = f"Slow file system ({DELAY_MS} ms a call), {results.effort.slow_files:,} files: seconds"
            drawn["slow"] = _bars(title, results.slow, folder / "benchmarks-slow.svg")
    return drawn


def _bars(title: str, figures: dict[str, Figures], path: Path) -> str:
    from matplotlib import pyplot

    ordered = sorted(figures.items(), key=lambda item: item[1].seconds)
    figure, axes = pyplot.subplots(figsize=(7.5, 0.8 + 0.33 * len(ordered)))
    names = [name for name, _ in ordered]
    seconds = [found.seconds for _, found in ordered]
    bars = axes.barh(names, seconds, color=[_colour(name) for name in names], height=0.7)
    axes.bar_label(bars, [seconds_text(value) for value in seconds], padding=4)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max(seconds))
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, loc="left", fontsize=11)
    return _saved(figure, path)


def _sizes(results: Results, path: Path) -> str:
    from matplotlib import pyplot

    every = {**results.sizes, **results.huge}
    every[results.effort.files] = results.main
    title = "From small to large trees, nothing changed: seconds"
    figure, axes = pyplot.subplots(figsize=(7.5, 3.6))
    for name, line, marker in ((ours.FULL, "-", "o"), (ours.QUICK, "--", "s"), (peers.FIND, "-", "^")):
        points = [(files, figures[name].seconds) for files, figures in sorted(every.items()) if name in figures]
        if points:
            axes.plot(*zip(*points), line, marker=marker, color=_colour(name), label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("files")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.grid(visible=True, color=FLOOR, linewidth=0.6)
    axes.legend(frameon=False)
    axes.set_title(title, loc="left", fontsize=11)
    return _saved(figure, path)


def _colour(title: str) -> str:
    if title.startswith("main.py"):
        return OURS
    return FLOOR if title in (peers.FLOOR_1, peers.FLOOR_2) else THEIRS


def _saved(figure: Any, path: Path) -> str:
    from matplotlib import pyplot

    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    return path.name

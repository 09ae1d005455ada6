"""The page in Chromium: it draws, opens folders, finds paths, obeys the keyboard, and everybody can read it."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import programs
import pytest
from archive import a_facility, open_store, put, put_runs, settings_in

from autotransfer.common.paths import display
from autotransfer.common.times import HOUR, NS_PER_SECOND
from autotransfer.datastore.reader import open_reader
from autotransfer.datastore.record import Delivered, Retry
from autotransfer.status.html.page import make

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra [test])")
pytestmark = programs.needs("chromium")
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
BATTERY, RUN = "2026-0934_battery", "run039"
LABELS = "all => all.map((one) => one.getAttribute('aria-label'))"
HOSTILE = [
    "<script>window.hacked=1</script>",
    "\"'><img src=x onerror='window.hacked=1'>",
    "javascript:window.hacked=1",
    "line\u2028end\u2029",
    "quote'\"`${window.hacked=1}",
    "__proto__",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright_api.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=programs.path_of("chromium"), args=OPTIONS)
        yield launched
        launched.close()


def written(folder: Path, fill: Callable[[Any, int], None], *, now_ns: int = 0, is_renewed: bool = False) -> Path:
    settings = settings_in(folder)
    now_ns = now_ns or time.time_ns()
    with open_store(settings) as store:
        fill(store, now_ns)
    store, reader = open_reader(settings)
    with store:
        text, _ = make(settings, reader, clock_ns=lambda: now_ns, is_renewed=is_renewed)
    page = folder / "page.html"
    page.write_text(text, encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def facility(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("facility"), a_facility)


@contextmanager
def opened(browser: Browser, file: Path, **options: Any) -> Iterator[Page]:
    """The page, opened from disk; there must be no word in the console and no request but for the file itself."""
    said: list[str] = []
    asked: list[str] = []
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert said == []
    assert asked == [file.as_uri()]


@pytest.fixture
def page(browser: Browser, facility: Path) -> Iterator[Page]:
    with opened(browser, facility) as shown:
        yield shown


def tile(page: Page, name: str) -> Locator:
    return page.locator(f'#map button[aria-label^="{name}:"]')


def trail(page: Page) -> list[str]:
    return [text.strip() for text in page.locator("#trail li").all_inner_texts()]


# ---- drawing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_draws_everything_and_nothing_sticks_out(
    browser: Browser, facility: Path, viewport: dict[str, int], scheme: str
) -> None:
    with opened(browser, facility, viewport=viewport, color_scheme=scheme) as page:
        assert page.locator("#days svg").count() == 2
        assert page.locator("#days svg").first.locator(".day").count() == 30
        assert page.locator("#timeline svg g.done, #timeline svg g.bad, #timeline svg g.open").count() == 102
        assert page.locator("#map button").count() == 4
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in background[4:-1].split(","))
        assert (brightness < 150) == (scheme == "dark")


def test_states_differ_by_pattern_mark_and_word_not_by_colour_alone(page: Page) -> None:
    legend = page.locator("#legend li")
    swatches = [legend.nth(number).locator(".swatch") for number in range(legend.count())]
    marks = [swatch.inner_text() for swatch in swatches]
    patterns = [swatch.evaluate("one => getComputedStyle(one).backgroundImage") for swatch in swatches]

    words = [text.replace(mark, "", 1).strip() for text, mark in zip(legend.all_inner_texts(), marks)]
    assert words == [
        *("delivered", "delivered, not all of it proved", "in flight", "will be retried", "failing"),
        "assumed (set_time.py)",
    ]
    assert len(set(marks[:5])) == 5
    assert len(set(patterns[:5])) == 5


def test_days_can_be_looked_at_from_farther_away(page: Page) -> None:
    page.get_by_role("button", name="90 days").click()
    assert page.locator("#days svg").first.locator(".day").count() == 90
    assert page.get_by_role("button", name="90 days").get_attribute("aria-pressed") == "true"

    page.get_by_role("button", name="All", exact=True).click()
    assert 35 < page.locator("#days svg").first.locator(".day").count() < 45
    assert "in all; most on " in (page.locator("#days svg").first.get_attribute("aria-label") or "")


def test_without_scripts_the_tables_say_it_all(browser: Browser, facility: Path) -> None:
    with opened(browser, facility, java_script_enabled=False) as page:
        assert page.locator("h2#verdict-title").inner_text().startswith("Attention: 4 paths failed")
        assert page.locator("table.failures tbody tr").count() == 2
        assert not page.locator("#search").is_visible()
        assert page.locator(".unscripted").is_visible()


def test_on_paper_it_is_light_and_without_what_can_be_pressed(browser: Browser, facility: Path) -> None:
    with opened(browser, facility, color_scheme="dark") as page:
        page.emulate_media(media="print")

        assert not page.locator("#search").is_visible()
        assert page.locator("#map").is_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


# ---- folders -----------------------------------------------------------------------------------------------------


def test_a_folder_opens_and_its_tiles_and_table_add_up(page: Page) -> None:
    tile(page, BATTERY).click()
    assert trail(page) == ["/data/beamline7", BATTERY]
    tile(page, RUN).click()
    assert trail(page) == ["/data/beamline7", BATTERY, RUN]

    page.locator("#map-details summary").click()
    rows = page.locator("#map-table tbody tr")
    counts = [
        int(rows.nth(number).locator("td.number").first.inner_text().replace(",", "")) for number in range(rows.count())
    ]
    assert rows.count() == page.locator("#map button").count() > 1
    assert page.locator("#here").inner_text().startswith(f"{sum(counts):,} files, ")
    assert "in flight" in page.locator("#here").inner_text()

    page.locator("#trail button").first.click()
    assert trail(page) == ["/data/beamline7"]


def test_the_area_can_stand_for_files(page: Page) -> None:
    def area(name: str) -> float:
        return float(tile(page, name).evaluate("one => one.clientWidth * one.clientHeight"))

    before = area("calibration")
    page.get_by_role("button", name="By files").click()

    assert area("calibration") < before / 4  # few files, but large ones


def test_of_many_folders_the_smallest_share_a_tile_but_not_what_waits_and_the_table_has_all(
    browser: Browser, tmp_path: Path
) -> None:
    def fill(store: Any, now_ns: int) -> None:
        for number in range(400):
            size = 10**9 if number < 100 else 1000 if number < 399 else 1
            retries = {"late": Retry(5, 10, 2, 0, "FILE_NOT_FOUND", 1)} if number == 399 else {}
            put(store, f"scan{number:03d}", delivered={"a": Delivered(5, size, now_ns, 1)}, retries=retries)
        put(store, "", delivered={"readme": Delivered(5, 100, now_ns, 1)})
        put_runs(store, now_ns)
        store.commit()

    with opened(browser, written(tmp_path, fill)) as page:
        names = [label.split(":")[0] for label in page.locator("#map button").evaluate_all(LABELS)]
        page.locator("#map-details summary").click()
        rows = page.locator("#map-table tbody tr")
        few = rows.count()
        page.get_by_role("button", name="Show all 401").click()

        assert len(names) == 152
        assert "scan399" in names
        assert "250 more" in names
        assert (few, rows.count()) == (50, 401)
        assert page.locator("#map-table").get_by_text("files in this folder itself").count() == 1


def test_the_keyboard_moves_opens_and_goes_back(page: Page) -> None:
    page.locator("#wanted").focus()
    page.keyboard.press("Tab")
    focused = "document.activeElement.getAttribute('aria-label')"
    first = page.evaluate(focused)
    assert first.startswith("2026-")

    page.keyboard.press("ArrowRight")
    right = page.evaluate(focused)
    assert right != first
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(focused) == first

    tile(page, BATTERY).focus()
    page.keyboard.press("Enter")
    assert trail(page)[-1] == BATTERY
    assert page.evaluate(focused).startswith("run")
    page.keyboard.press("End")
    last = page.evaluate(focused)
    page.keyboard.press("Home")
    assert page.evaluate(focused) != last

    page.keyboard.press("Escape")
    assert trail(page) == ["/data/beamline7"]
    assert page.evaluate(focused).startswith(f"{BATTERY}:")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#map')") is None  # one stop, however many tiles


def test_the_skip_link_is_the_first_stop_and_leads_to_the_report(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    assert page.locator(".skip").evaluate("one => one.clientWidth") > 50
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


# ---- the search --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted", [f"{BATTERY}/{RUN}", f"/data/beamline7/{BATTERY}/{RUN}/", f"  {BATTERY.upper()}/run039"]
)
def test_a_folder_is_found_by_its_path_and_opens(page: Page, wanted: str) -> None:
    page.locator("#wanted").fill(wanted)
    assert page.locator("#found button bdi").first.inner_text() == f"{BATTERY}/{RUN}"
    assert "in flight" in page.locator("#found button").first.inner_text()

    page.locator("#wanted").press("Enter")

    assert trail(page) == ["/data/beamline7", BATTERY, RUN]


def test_a_part_of_a_name_finds_all_that_have_it_what_waits_first(page: Page) -> None:
    page.locator("#wanted").fill("scan002")

    found = page.locator("#found button")
    assert found.count() > 5
    assert (
        page.locator("#found-count").inner_text().endswith(" folders")
        or "are shown" in page.locator("#found-count").inner_text()
    )
    assert "failed more than once" in found.first.inner_text()


def test_for_a_file_the_page_shows_its_folder_and_says_who_knows_more(page: Page) -> None:
    file = f"/data/beamline7/{BATTERY}/{RUN}/scan003/img_00001.tif"
    page.locator("#wanted").fill(file)

    assert page.locator("#found button bdi").all_inner_texts() == [f"{BATTERY}/{RUN}/scan003"]
    assert "status.py --path" in page.locator("#found-count").inner_text()

    page.locator("#wanted").fill("nowhere")
    assert page.locator("#found button").count() == 0
    assert page.locator("#found-count").inner_text().startswith("No folder of this page")


# ---- names, age, access ------------------------------------------------------------------------------------------


def test_names_are_shown_and_never_obeyed(browser: Browser, tmp_path: Path) -> None:
    def fill(store: Any, now_ns: int) -> None:
        for name in HOSTILE:
            put(store, f"{name.replace('/', ':')}/inner", delivered={"a": Delivered(5, 10, now_ns, 1)})
        put_runs(store, now_ns, status=3, notices=tuple(f"Skipped {name}" for name in HOSTILE))
        store.commit()

    with opened(browser, written(tmp_path, fill)) as page:
        page.locator("#map-details summary").click()
        shown = page.locator("#map-table tbody bdi").all_inner_texts()
        for name in HOSTILE:
            page.locator("#wanted").fill(display(name).replace("/", ":")[:6])
            page.locator("#found button").first.click()

        assert "__proto__" in shown
        assert "<script>window.hacked=1<:script>" in shown
        assert "quote'\"`${window.hacked=1}" in shown
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0


def test_the_policy_stops_what_a_name_might_have_brought_in(browser: Browser, facility: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(facility.as_uri())

    page.evaluate(
        """() => {
            window.refused = [];
            document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "window.hacked = 1";
            const image = document.createElement("img");
            image.src = "http://127.0.0.1:9/spy.png";
            const link = document.createElement("a");
            link.setAttribute("onclick", "window.hacked = 1");
            const box = document.createElement("p");
            box.setAttribute("style", "position: fixed");
            document.body.append(script, image, link, box);
            link.click();
        }"""
    )
    page.wait_for_function("refused.length >= 4")

    assert set(page.evaluate("refused")) == {"script-src-elem", "script-src-attr", "img-src", "style-src-attr"}
    assert page.evaluate("window.hacked") is None
    context.close()


@pytest.mark.parametrize(("age_hours", "is_renewed", "is_old"), [(3, True, True), (1, True, False), (3, False, False)])
def test_a_page_that_runs_no_longer_renew_says_so(
    browser: Browser, tmp_path: Path, age_hours: int, is_renewed: bool, is_old: bool
) -> None:
    made_ns = time.time_ns() - age_hours * HOUR * NS_PER_SECOND

    def fill(store: Any, now_ns: int) -> None:
        put(store, "run1", delivered={"a": Delivered(5, 10, now_ns, 1)})
        put_runs(store, now_ns)
        store.commit()

    with opened(browser, written(tmp_path, fill, now_ns=made_ns, is_renewed=is_renewed)) as page:
        assert page.locator("#age").inner_text().strip() == f"({age_hours} hour{'s' * (age_hours > 1)} ago)"
        assert page.locator("#stale").is_visible() is is_old


@pytest.mark.parametrize(("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_axe_finds_nothing_that_keeps_people_from_reading_it(
    browser: Browser, facility: Path, viewport: dict[str, int], scheme: str
) -> None:
    axe = importlib.util.find_spec("axe_playwright_python")
    if axe is None or axe.origin is None:
        pytest.skip("axe-playwright-python is not installed (extra [test])")
    (source,) = Path(os.path.dirname(axe.origin)).rglob("axe.min.js")

    with opened(browser, facility, viewport=viewport, color_scheme=scheme) as page:
        if viewport == DESKTOP:
            page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        else:
            page.locator("#map-details summary").click()
        page.locator("#wanted").fill("scan002")
        page.evaluate(source.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run()")

    violations = [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found["violations"]]
    assert violations == []
    assert len(found["passes"]) > 20

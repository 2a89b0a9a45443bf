"""Picture every kind of console page in every form, and name what overflows, is logged or fails axe-core.

    uv run python -m tests.mlengine_project.console.survey --folder /tmp/pages [--axe axe.min.js]

Light and dark, 360, 1280 and 2560 pixels wide, English and Spanish. The rows are those of the pictures in the README,
with reports of the models, a hole, an absence and a revision besides. With `--axe` a serious finding makes it fail.
"""

import argparse
import asyncio
import base64
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from tests.mlengine_project.accessibility import RUN, SERIOUS
from tests.mlengine_project.console.screenshots import (
    NEWEST_OPEN_MS,
    STEP_MS,
    SYMBOLS,
    fill_database,
    serving,
    set_up_django,
)

HEIGHTS = {360: 780, 1280: 800, 2560: 1440}
SIGNED_OUT = ("sign_in",)
DRAWN = "document.querySelector('#chart canvas') && document.getElementById('readout').textContent"
CHOSEN = """(() => { for (const name of ["rsi_14", "ema_20", "macd"]) {
  const box = document.querySelector(`input[name="indicator"][value^="${name}"]`); if (box && !box.checked) box.click(); } return 1; })()"""
OPENED = "document.querySelector('#opened table, #opened ul, #opened dl') !== null"
SCROLLED = """(async () => {
  for (let top = 0; top < document.documentElement.scrollHeight; top += 300) {
    scrollTo(0, top); await new Promise((next) => setTimeout(next, 40)); }
  scrollTo(0, 0); })()"""
STEPS = {
    "rows": ["document.querySelector('input[name=view][value=rows]').click()"],
    "panes": [CHOSEN],
    "opened": ["document.getElementById('open-forecast').click()", OPENED],
    "sheet": ["document.querySelector('a[data-sheet]').click()", "document.querySelector('dialog.side-sheet').open"],
    "carpet": ["document.getElementById('show-carpet').click()"],
    "table": ["document.getElementById('show-table').click()"],
}
"""What is done on a page before it is pictured; the last expression is waited for."""


def main():
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        set_up_django(Path(state))
        from marketdata import clock

        with clock.use(clock.FrozenClock(NEWEST_OPEN_MS + STEP_MS + 2_000)):
            fill_database()
            pages = add_rows()
            with serving() as (address, link):
                sys.exit(asyncio.run(survey(options, Path(state), address, link, pages)))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="Where the PNG files are written.")
    parser.add_argument("--axe", type=Path, help="The rules of axe-core, axe.min.js; not checked if not given.")
    parser.add_argument("--pages", nargs="*", help="Names of pages; all if not given.")
    parser.add_argument("--themes", nargs="*", default=["light", "dark"])
    parser.add_argument("--widths", nargs="*", type=int, default=list(HEIGHTS))
    parser.add_argument("--languages", nargs="*", default=["en", "es"])
    parser.add_argument(
        "--vision", default="none", help="A deficiency that Chromium simulates, for example deuteranopia."
    )
    return parser.parse_args()


def add_rows():
    """Reports, candidates, a hole, an absence, a revision and a job; the paths of all pages by name."""
    from django.urls import reverse

    from marketdata.models import AbsentStretch, Candle, CandleRevision, Market
    from mlengine_project.operations.models import Job
    from mlengine_project.operations.scheduling.schedule import install_schedule
    from modelregistry.models import ModelVersion, PromotionEvent
    from tests.mlengine_project.console import rows
    from tests.mlengine_project.console.versions.test_charts import report_of

    install_schedule()
    market = Market.objects.get(symbol=SYMBOLS[0])
    hole_ms, absent_ms = (NEWEST_OPEN_MS - count * STEP_MS for count in (60, 100))
    for start_ms, count in ((hole_ms, 3), (absent_ms, 5)):
        end_ms = start_ms + count * STEP_MS
        Candle.objects.filter(market=market, open_time__gte=start_ms, open_time__lt=end_ms).delete()
    AbsentStretch.objects.create(market=market, start=absent_ms, end=absent_ms + 5 * STEP_MS, evidence={"asked": 3})
    revised = {"market": market, "open_time": NEWEST_OPEN_MS - 30 * STEP_MS, "origin": "rest"}
    CandleRevision.objects.create(before={"close": "1"}, after={"close": "2"}, **revised)
    champions = {}
    for version in ModelVersion.objects.filter(stage="champion"):
        ModelVersion.objects.filter(pk=version.pk).update(report=report_of(version.kind))
        event = {"kind": version.kind, "source": version.source, "actor": "ada", "gate_accepted": version.gate_accepted}
        PromotionEvent.objects.create(action="promote", to_version=version, reason="first champion", **event)
        champions[version.kind] = version
    champion = champions["range_predictor"]
    candidate = rows.version(seed=2, accepted=False, report=report_of("range_predictor"))
    refresh = rows.version(
        seed=3, accepted=False, report=rows.refresh_report(report_of("range_predictor")), refresh_of=champion
    )
    kept = rows.comparison(champion, candidate)
    Job.objects.create(kind="training", state="running", progress=0.43, message="fold 3 of 5")
    pair = f"?version={champion.pk}&version={candidate.pk}"
    return {
        "sign_in": "/",
        "board": "/",
        "board+rows": "/",
        "market": f"/market/{SYMBOLS[0]}",
        "market+panes": f"/market/{SYMBOLS[0]}",
        "market+opened": f"/market/{SYMBOLS[0]}",
        "market+carpet": f"/market/{SYMBOLS[0]}",
        "market+table": f"/market/{SYMBOLS[0]}",
        "models": reverse("console:models"),
        "models+sheet": reverse("console:models"),
        "version": reverse("console:version", args=[champion.pk]),
        "brackets": reverse("console:version", args=[champions["tpsl_classifier"].pk]),
        "compare": reverse("console:compare") + pair,
        "refresh": reverse("console:version", args=[refresh.pk]),
        "comparison": reverse("console:comparison", args=[kept.pk]),
        "record": reverse("console:record"),
        "data": reverse("console:data"),
        "operations": reverse("console:operations"),
        "absent": "/market/NOPE",
        "nothing": "/there-is-no-such-page",
    }


async def survey(options, state, address, link, pages):
    """Number of pages with a serious finding, a message in the log or a sideways overflow, at most 1."""
    from tests.mlengine_project.console import chromium

    bad = 0
    rules = options.axe.read_text() if options.axe else None
    chosen = {name: path for name, path in pages.items() if not options.pages or name in options.pages}
    async with chromium.Browser(state / "profile") as page:
        await page.call("Emulation.setScrollbarsHidden", hidden=True)
        await page.call("Emulation.setEmulatedVisionDeficiency", type=options.vision)
        await page.call("Page.setBypassCSP", enabled=rules is not None)  # for the rules, no script of the page
        is_signed_in = False
        for name, path in sorted(chosen.items(), key=lambda item: item[0] not in SIGNED_OUT):
            if name not in SIGNED_OUT and not is_signed_in:
                await page.open(link)
                await page.until("document.querySelector('.card') !== null")
                is_signed_in = True
            page.errors.clear()
            for language in options.languages:
                await page.call("Network.setCookie", name="django_language", value=language, url=address)
                for theme in options.themes:
                    preference = [{"name": "prefers-color-scheme", "value": theme}]
                    await page.call("Emulation.setEmulatedMedia", features=preference)
                    for width in options.widths:
                        await picture(page, name, address + quote(path, safe="/?&=%"), width)
                        found = await findings(page, rules, name)
                        file = options.folder / f"{name}-{theme}-{width}-{language}.png"
                        await write_whole(page, file)
                        print(file.name, *found, sep="\n   ", flush=True)
                        bad += bool(found)
    print(f"{bad} pictures with findings")
    return min(bad, 1)


async def picture(page, name, address, width):
    """Open a page in a window of the given width, act on it, and wait until it is drawn."""
    size = {"width": width, "height": HEIGHTS.get(width, 900)}
    await page.call("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=width < 600)
    await page.open(address)
    if name.startswith("market"):
        await page.until(DRAWN)
    await asyncio.sleep(0.7)  # charts of statistics are drawn after the page, when they come into view
    if not name.startswith("market"):
        await page.value(SCROLLED)
    _, _, step = name.partition("+")
    for act, *awaited in [STEPS[step]] if step else []:
        await page.value(f"{act}; 1")
        for expression in awaited:
            await page.until(expression)
        await asyncio.sleep(0.7)


async def findings(page, rules, name):
    """What is wrong with the page as it stands, a line each."""
    errors, page.errors[:] = list(page.errors), []
    found = [line for line in errors if not (name in {"absent", "nothing"} and "404" in line)]
    overflow = await page.value("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if overflow > 0:
        found.append(f"overflows by {overflow} px")
    if rules is not None:
        await page.value(rules + ";1")
        for violation in await page.value(RUN):
            if violation["impact"] in SERIOUS:
                nodes = [" ".join(node.split()) for node in violation["nodes"]]
                found += [f"{violation['impact']} {violation['rule']}: {violation['help']}", *nodes]
    return found


async def write_whole(page, path):
    """Write the whole page, at most four windows high."""
    metrics = await page.call("Page.getLayoutMetrics")
    window = metrics["cssLayoutViewport"]
    height = min(metrics["cssContentSize"]["height"], 4 * window["clientHeight"])
    clip = {"x": 0, "y": 0, "width": window["clientWidth"], "height": height, "scale": 1}
    taken = await page.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
    path.write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    main()

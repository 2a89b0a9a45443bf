"""Charts in a real browser: the keys at the limits of the scale, and dark charts on paper."""

import asyncio

import pytest
from asgiref.sync import sync_to_async

from modelregistry.models import ModelVersion
from tests.mlengine_project.console import chromium
from tests.mlengine_project.console.test_in_a_browser import served, server  # noqa: F401  # fixtures
from tests.mlengine_project.console.versions.test_charts import report_of

pytestmark = [
    pytest.mark.long,
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(chromium.installed() is None, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
]
DRAWN = "document.getElementById('readout').textContent.includes('next 30 min')"
PRESS = """(async (key, times) => {
  for (let i = 0; i < times; i += 1) {
    document.getElementById("chart").dispatchEvent(new KeyboardEvent("keydown", { key }));
    await new Promise((next) => requestAnimationFrame(next));
  }
  return document.querySelector(".handle").style.left;
})"""
PICTURES = "[...document.querySelectorAll('SELECTOR')].map((canvas) => canvas.toDataURL()).join()"
PRINT = """(async () => {
  const frames = async () => { for (let i = 0; i < 3; i += 1) await new Promise((next) => requestAnimationFrame(next)); };
  const screen = PICTURES;
  dispatchEvent(new Event("beforeprint"));
  const paper = PICTURES;
  await frames();
  const later = PICTURES;
  dispatchEvent(new Event("afterprint"));
  await frames();
  return { changed: paper !== screen, complete: paper === later, restored: PICTURES === screen };
})()"""
CUT_OFF = """(() => {
  dispatchEvent(new Event("beforeprint"));
  const shown = [...document.querySelectorAll("PRINTED")].map((canvas) => [canvas, canvas.closest(".panel")].map((one) => one.getBoundingClientRect()));
  const count = shown.filter(([canvas, panel]) => !canvas.width || canvas.left < panel.left || canvas.right > panel.right).length;
  dispatchEvent(new Event("afterprint"));
  return shown.length ? count : null;
})()"""
CHARTS = {
    "/market/BTCUSDT": ("#chart canvas", ".on-paper", DRAWN),
    "/console/models": (".plot canvas", ".plot canvas", "document.querySelectorAll('.plot canvas').length > 2"),
}


DARK = [{"name": "prefers-color-scheme", "value": "dark"}]
PAPER = {"width": 718, "height": 1_047, "deviceScaleFactor": 1, "mobile": False}


async def open_dark(page, link):
    await page.call("Emulation.setEmulatedMedia", features=DARK)
    await page.open(link)
    await page.until("document.querySelectorAll('.card').length === 2")


@pytest.mark.parametrize("key", ["-", "+"])
async def test_a_key_at_the_limit_of_the_scale_moves_nothing(served, tmp_path, key):  # noqa: F811
    address, link = served
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("document.querySelectorAll('.card').length === 2")
        await page.open(f"{address}/market/BTCUSDT")
        await page.until(DRAWN)
        before = await page.value(f"{PRESS}('{key}', 0)")
        at_limit = await page.value(f"{PRESS}('{key}', 60)")
        assert at_limit != before
        further = await page.value(f"{PRESS}('{key}', 10)")
        assert abs(float(further.removesuffix("px")) - float(at_limit.removesuffix("px"))) < 0.01
        other = "+" if key == "-" else "-"
        assert await page.value(f"{PRESS}('{other}', 10)") != further
    assert page.errors == []


async def test_dark_charts_are_drawn_for_paper_before_it_is_printed(served, tmp_path):  # noqa: F811
    address, link = served
    await sync_to_async(ModelVersion.objects.update)(report=report_of("range_predictor"))
    async with chromium.Browser(tmp_path / "profile") as page:
        await open_dark(page, link)
        for path, (canvases, printed, drawn) in CHARTS.items():
            await page.open(address + path)
            await page.until(drawn)
            await asyncio.sleep(1)  # until every chart in view is drawn
            # What a canvas holds when the event has been handled is printed: no frame is drawn in between.
            found = await page.value(PRINT.replace("PICTURES", PICTURES.replace("SELECTOR", canvases)))
            assert found == {"changed": True, "complete": True, "restored": True}, path
            await page.call("Emulation.setEmulatedMedia", media="print", features=DARK)
            await page.call("Emulation.setDeviceMetricsOverride", **PAPER)
            assert await page.value(CUT_OFF.replace("PRINTED", printed)) == 0, path
            await page.call("Emulation.clearDeviceMetricsOverride")
            await page.call("Emulation.setEmulatedMedia", media="", features=DARK)
    assert page.errors == []

"""Charts, tables by key, sheets and the calendar in a real browser, under the content policy and without errors."""

import asyncio

import pytest
from asgiref.sync import sync_to_async

from modelregistry.models import ModelVersion
from tests.mlengine_project.console import chromium, rows
from tests.mlengine_project.console.test_in_a_browser import overflow, served, server  # noqa: F401  # fixtures
from tests.mlengine_project.console.versions.test_charts import report_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(chromium.installed() is None, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
]


def two_versions():
    champion = ModelVersion.objects.get()
    ModelVersion.objects.filter(pk=champion.pk).update(report=report_of("range_predictor"))
    candidate = rows.version(seed=2, report=report_of("range_predictor"))
    return champion, candidate


async def test_charts_tables_sheets_and_calendar(served, tmp_path):  # noqa: F811
    address, link = served
    champion, candidate = await sync_to_async(two_versions)()
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("location.pathname === '/'")
        await page.open(f"{address}/console/models")
        await page.until("document.querySelectorAll('figure.statistic canvas').length >= 2")
        figure = "document.querySelector('figure.statistic')"
        await page.value(f"{figure}.dispatchEvent(new KeyboardEvent('keydown', {{key: 't'}}))")
        cells = await page.value(
            f"[...{figure}.querySelectorAll('tbody tr:first-child td')].map((cell) => cell.textContent)"
        )
        assert "±" in cells[0]
        await page.value(f"{figure}.querySelector('button').click()")
        assert await page.value(f"{figure}.querySelector('.numbers').hidden") is True

        await page.value("document.querySelector('.sort').click()")
        assert await page.value("document.querySelector('th[aria-sort]') !== null")
        await page.value(f"document.querySelector('a[href$=\"{candidate.pk}/promote\"]').click()")
        await page.until("document.querySelector('dialog.side-sheet').open")
        assert await page.value("document.querySelector('dialog textarea[name=reason]') !== null")
        await page.value("document.querySelector('dialog [data-close]').click()")
        assert await page.value("document.querySelector('dialog').open") is False
        assert await page.value("location.pathname") == "/console/models"

        await page.open(f"{address}/console/models/compare?version={champion.pk}&version={candidate.pk}")
        await page.until("document.querySelectorAll('figure.statistic canvas').length >= 2")
        await page.open(f"{address}/console/data")
        await page.until("document.querySelector('#calendar canvas') !== null")
        await page.value("document.getElementById('theme-toggle').click()")
        await page.open(f"{address}/console/operations/keys/new")
        await page.value(
            "document.querySelector('[name=name]').value = 'backend'; document.querySelector('.sheet form').submit()"
        )
        await page.until("document.querySelector('[data-copy]') !== null")
        # The script of the button may not have run yet.
        button = "document.querySelector('[data-copy]')"
        await page.until(f"({button}.click(), {button}.textContent !== 'Copy')")
        for path in ("/console/record", "/console/operations"):
            await page.open(address + path)
            await asyncio.sleep(0.3)
            await page.value("1")
    assert page.errors == []


@pytest.mark.long
@pytest.mark.parametrize("width", [360, 2560])
async def test_no_page_is_wider_than_the_window(served, tmp_path, width):  # noqa: F811
    address, link = served
    champion, candidate = await sync_to_async(two_versions)()
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        await page.open(link)
        await page.until("location.pathname === '/'")
        for path in (
            "models", f"models/{champion.pk}", f"models/{candidate.pk}/promote", "record", "data", "operations",
            f"models/compare?version={champion.pk}&version={candidate.pk}",
        ):  # fmt: skip
            await page.open(f"{address}/console/{path}")
            await asyncio.sleep(0.5)
            assert await overflow(page) <= 0, path

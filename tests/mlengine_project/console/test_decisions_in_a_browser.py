"""Every decision of the console made in a real browser, in one session: without errors or requests to other hosts."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest
from asgiref.sync import sync_to_async

from marketdata.models import Market
from mlengine_project.access import services as access
from mlengine_project.access.models import ApiKey
from mlengine_project.console.sign_in import one_time_link
from mlengine_project.operations.models import Job
from modelregistry import registry
from modelregistry.models import ModelVersion
from signals import kill_switch
from tests.mlengine_project.console import chromium
from tests.mlengine_project.console.test_in_a_browser import served, server  # noqa: F401  # fixtures
from tests.modelregistry import champions

pytestmark = [
    pytest.mark.long,
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(chromium.installed() is None, reason="Chromium is not installed"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
]
OVERRIDDEN = "promoted by override: the gate had refused"
SENT = """(async () => {
  const body = new URLSearchParams(FIELDS);
  body.set("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
  return (await fetch("PATH", { method: "POST", body, redirect: "manual" })).status;
})()"""


def two_versions():
    """A champion, and a candidate that the gate refused."""
    ModelVersion.objects.all().delete()
    Market.objects.update(source="exchange")
    champion = champions.candidate("range_predictor", seed=1)
    registry.bootstrap(champion, "tests", "first")
    return champion, champions.candidate("range_predictor", seed=2, accepted=False)


async def decide(page, link, **fields):
    """Open a sheet beside the page, fill its form and send it; ends on the page that says what was done."""
    await page.value(f"document.querySelector({link!r}).click()")
    await page.until("document.querySelector('dialog.side-sheet')?.open")
    for name, value in fields.items():
        field = f"document.querySelector('dialog [name={name}]')"
        await page.value(f"{field}.checked = true" if value is True else f"{field}.value = {value!r}")
    await page.value("window.before = true; document.querySelector('dialog form [type=submit]').click()")
    await page.until("window.before === undefined && document.readyState === 'complete'")


async def text(page):
    return " ".join((await page.value("document.querySelector('main').innerText")).split())


async def test_every_decision_is_made_in_the_console(served, tmp_path):  # noqa: F811
    address, link = served
    champion, refused = await sync_to_async(two_versions)()
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("location.pathname === '/'")

        await page.open(f"{address}/console/models")
        await decide(page, f'a[href$="{refused.pk}/promote"]', reason="I like it", override=True)
        assert "is champion now" in await text(page)
        for path in ("/console/models", f"/console/models/{refused.pk}", "/market/BTCUSDT"):
            await page.open(address + path)
            assert OVERRIDDEN in await text(page), path
        await page.open(f"{address}/admin/modelregistry/modelversion/{refused.pk}/change/")
        assert OVERRIDDEN in await page.value("document.body.innerText")
        await page.open(f"{address}/console/models")
        await decide(page, 'a[href$="roll-back/range_predictor"]', reason="I was wrong")
        assert f"is back at {champion.digest[:12]}" in await text(page)

        await decide(page, 'a[href$="models/train"]', reason="new data", small=True)
        job = await Job.objects.aget()
        assert job.state in {"pending", "running"}
        await decide(page, f'a[href$="{job.pk}/cancel"]', reason="a mistake")
        await job.arefresh_from_db()
        assert job.state == "cancelled" or job.cancel_requested

        await page.open(f"{address}/console/operations")
        await decide(page, 'a[href$="keys/new"]', name="backend")
        secret = await page.value("document.getElementById('new-key').textContent")
        assert (await sync_to_async(access.authenticate_key)(secret)).name == "backend"
        key = await ApiKey.objects.aget()
        await page.open(f"{address}/console/operations")
        await decide(page, f'a[href$="{key.pk}/rotate"]', reason="yearly")
        successor = await ApiKey.objects.exclude(pk=key.pk).aget()
        await page.open(f"{address}/console/operations")
        await decide(page, f'a[href$="{successor.pk}/revoke"]', reason="lost")
        assert "is revoked" in await text(page)

        await decide(page, 'a[href$="switch/off"]', symbol="ETHUSDT", reason="halted")
        await decide(page, 'a[href$="switch/on/ETHUSDT"]', reason="over")
        await decide(page, 'a[href$="operations/switch"]', reason="implausible prices")
        assert await sync_to_async(kill_switch.switched_off_symbols)() == {"": "implausible prices"}
        await page.open(address)
        assert "Signals are switched off for all markets" in await page.value("document.body.innerText")
    assert page.errors == []
    assert page.hosts == {urlsplit(address).netloc}


async def test_a_person_without_rights_sees_no_decision_and_is_refused(served, tmp_path, django_user_model):  # noqa: F811
    address, _ = served
    champion, refused = await sync_to_async(two_versions)()
    person = await sync_to_async(django_user_model.objects.create_user)("grace")
    link = await sync_to_async(one_time_link)(address, person)
    async with chromium.Browser(tmp_path / "profile") as page:
        await page.open(link)
        await page.until("document.querySelector('form button[type=submit]') !== null || location.pathname === '/'")
        for path in ("/console/models", "/console/data", "/console/operations"):
            await page.open(address + path)
            assert await page.value("document.querySelectorAll('[data-sheet]').length === 0"), path
        assert page.errors == []
        forbidden = {
            f"/console/models/{refused.pk}/promote": {"reason": "I like it", "override": "on"},
            "/console/models/roll-back/range_predictor": {"reason": "I was wrong"},
            "/console/models/train": {"reason": "new data", "small": "on"},
            "/console/operations/switch": {"reason": "implausible prices"},
            "/console/operations/switch/off": {"reason": "halted", "symbol": "ETHUSDT"},
            "/console/operations/keys/new": {"name": "backend"},
        }
        for path, fields in forbidden.items():
            await page.open(address + path)
            await asyncio.sleep(0.1)
            assert "403" in str(page.errors[-1]), path
            await page.open(address)
            assert await page.value(SENT.replace("PATH", path).replace("FIELDS", json.dumps(fields))) == 403, path
        assert await page.value(SENT.replace("PATH", "/nope").replace("FIELDS", "{}")) == 404  # the token is accepted
    await champion.arefresh_from_db()
    assert champion.stage == "champion"
    assert not await Job.objects.aexists()
    assert not await ApiKey.objects.aexists()
    assert await sync_to_async(kill_switch.switched_off_symbols)() == {}

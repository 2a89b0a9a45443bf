"""Check every admin page with axe-core in headless Chromium, in both themes, narrow and wide.

    uv run python -m tests.mlengine_project.accessibility [--axe axe.min.js] [--folder PICTURES]

The pages show at least one row of every table. Without `--axe` the rules are fetched with `npm pack axe-core`. Each
violation is printed with the elements it is about; the command fails if one is serious or critical, or if a page is
wider than its window. With `--folder` each page is also written as a picture, to be looked at.
"""

import argparse
import asyncio
import base64
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.mlengine_project.console.screenshots import serving, set_up_django

AXE = "axe-core@4.10.3"
THEMES = ("light", "dark")
WIDTHS = (360, 1280)
SERIOUS = {"serious", "critical"}
RUN = """axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(one => ({
    rule: one.id, impact: one.impact, help: one.help,
    nodes: one.nodes.slice(0, 3).map(node => node.html.slice(0, 160) + ' | ' + node.failureSummary.slice(0, 300))})))"""


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as state:
        rules = (options.axe or fetched(Path(state))).read_text()
        set_up_django(Path(state))
        from marketdata import clock
        from mlengine_project.operations.scheduling.schedule import install_schedule
        from tests.mlengine_project.console import rows

        with clock.use(clock.FrozenClock(rows.BEGIN + 2_000)):
            install_schedule()
            rows.one_of_everything()
            with serving() as (address, link):
                sys.exit(asyncio.run(check(options.folder, Path(state), address, link, rules)))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axe", type=Path, help="The rules, axe.min.js; fetched if not given.")
    parser.add_argument("--folder", type=Path, help="Where pictures are written; none if not given.")
    return parser.parse_args()


def fetched(folder):
    """The rules of axe-core from the package registry of npm."""
    name = subprocess.check_output(["npm", "pack", "--silent", AXE], cwd=folder, text=True).strip()
    with tarfile.open(folder / name) as package:
        package.extract("package/axe.min.js", folder, filter="data")
    return folder / "package" / "axe.min.js"


def addresses():
    """Name and path of every admin page: lists, an empty list, one row of each, and steps that ask for confirmation."""
    from django.contrib import admin
    from django.urls import reverse

    found = {"state": "/admin/", "empty": "/admin/predictions/predictionlog/?q=NOPE"}
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        found[name] = reverse(f"admin:{name}_changelist")
        if (row := model._default_manager.first()) is not None:
            found[f"{name}_row"] = reverse(f"admin:{name}_change", args=[row.pk])
    for step in ("operations_job_retrain_now", "access_apikey_create_key", "signals_signalswitch_switch_off_all"):
        found[step] = reverse(f"admin:{step}")
    return found


async def check(folder, state, address, link, rules):
    """Number of pages with a serious violation or a sideways overflow."""
    from asgiref.sync import sync_to_async

    from tests.mlengine_project.console import chromium

    bad = 0
    async with chromium.Browser(state / "profile") as page:
        await page.call("Page.setBypassCSP", enabled=True)  # for the rules, which are no script of the page
        for theme in THEMES:
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            for width in WIDTHS:
                await resize(page, width)
                bad += await examine(page, folder, "sign_in", f"{address}/admin/login/", theme, width, rules)
        await page.open(link)
        pages = await sync_to_async(addresses)()
        for theme in THEMES:
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            for width in WIDTHS:
                await resize(page, width)
                for name, path in pages.items():
                    bad += await examine(page, folder, name, address + path, theme, width, rules)
    print(f"{bad} of {(len(pages) + 1) * len(THEMES) * len(WIDTHS)} pages with serious findings")
    return min(bad, 1)


async def resize(page, width):
    await page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)


async def examine(page, folder, name, address, theme, width, rules):
    """Whether one page has a serious violation or is wider than its window."""
    await page.open(address)
    await page.value(rules + ";1")
    await asyncio.sleep(0.2)
    violations = await page.value(RUN)
    overflow = await page.value("document.documentElement.scrollWidth - innerWidth")
    for violation in violations:
        print(f"{name} {theme} {width}: {violation['impact']} {violation['rule']}: {violation['help']}")
        for node in violation["nodes"]:
            print("   ", " ".join(node.split()))
    if overflow > 0:
        print(f"{name} {theme} {width}: wider than the window by {overflow} px")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        picture = await page.call("Page.captureScreenshot", format="png")
        (folder / f"{name}-{theme}-{width}.png").write_bytes(base64.b64decode(picture["data"]))
    return int(overflow > 0 or any(violation["impact"] in SERIOUS for violation in violations))


if __name__ == "__main__":
    main()

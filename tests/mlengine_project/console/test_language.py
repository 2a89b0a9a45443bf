"""Languages of the console: chosen, or the browser's; the API and the admin stay English."""

import ast
import gettext
import re
import shutil
import subprocess
import sys

import pytest
from django.conf import settings
from django.utils import translation

from indicators.catalog.lookup import CATALOG
from mlengine_project.access import services as access
from mlengine_project.console import catalogue
from mlengine_project.console.stored_texts import stored_text
from mlengine_project.operations.models import Job
from mlengine_project.operations.monitoring.health import CHECKS
from mlengine_project.operations.scheduling.schedule import SCHEDULE, install_schedule
from modelregistry.models import Kind
from modelregistry.training import gate
from predictions.reasons import REASON_TEXTS
from signals.models import SignalLog
from tests.mlengine_project.console import rows

pytestmark = pytest.mark.django_db
ROOT = settings.BASE_DIR
SPANISH = {"HTTP_ACCEPT_LANGUAGE": "es-MX,es;q=0.9"}


def test_landing_page_follows_the_browser(client):
    page = client.get("/", **SPANISH)
    assert '<html lang="es"' in page.content.decode()
    assert page["Content-Language"] == "es"
    assert "Iniciar sesión" in page.content.decode()
    assert '<html lang="en"' in client.get("/", HTTP_ACCEPT_LANGUAGE="fr").content.decode()


def test_chosen_language_comes_before_the_browsers(admin_client):
    rows.market()
    sent = admin_client.post("/console/language", {"language": "es", "next": "/console/models"})
    assert sent["Location"] == "/console/models"
    assert '<html lang="es"' in admin_client.get("/", HTTP_ACCEPT_LANGUAGE="en").content.decode()
    admin_client.post("/console/language", {"language": "en", "next": "https://elsewhere.example/"})
    assert '<html lang="en"' in admin_client.get("/", **SPANISH).content.decode()


def test_language_choice_does_not_lead_to_another_site(admin_client):
    sent = admin_client.post("/console/language", {"language": "es", "next": "https://elsewhere.example/"})
    assert sent["Location"] == "/"


def test_script_texts_are_in_the_language_of_the_page(client):
    assert "desconectado" in client.get("/console/texts.js", **SPANISH).content.decode()
    assert "desconectado" not in client.get("/console/texts.js").content.decode()


@pytest.mark.parametrize("path", ["/markets", "/predictions", "/schema"])
def test_api_answers_in_english(client, path):
    plain, asked = client.get(path), client.get(path, **SPANISH)
    assert asked.status_code == plain.status_code
    assert asked.json()["message"] == plain.json()["message"] if plain.status_code >= 400 else True


def test_health_and_schedule_are_in_the_language_of_the_page_and_english_in_the_api(admin_client):
    rows.market()
    install_schedule()
    page = admin_client.get("/console/operations", **SPANISH).content.decode()
    assert "Nunca se llegó a la bolsa." in page
    assert "inicie exactamente una fuente" in page.lower()
    assert "Entrenamiento diario" in page
    _, secret = access.create_key("tests", "read")
    answer = admin_client.get("/health/detailed", headers={"X-API-Key": secret}, **SPANISH).json()
    assert answer["binance"]["message"] == "the exchange was never reached"


def test_admin_stays_english(admin_client):
    assert '<html lang="en' in admin_client.get("/admin/", **SPANISH).content.decode()


def test_a_page_leaves_the_language_of_its_thread_as_it_was(client):
    client.get("/", **SPANISH)
    assert translation.get_language() == "en"


@pytest.mark.parametrize("path", ["/", "/console/models", "/market/BTCUSDT"])
def test_console_pages_forbid_inline_styles_and_scripts(admin_client, path):
    rows.candles(rows.market())
    policy = admin_client.get(path)["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "style-src 'self'" in policy


def test_every_text_of_other_apps_is_translated():
    listed = set(catalogue.TEXTS)
    for shown in (REASON_TEXTS.values(), *(choices.labels for choices in (SignalLog.Type, SignalLog.Outcome, Kind))):
        assert {str(text) for text in shown} <= listed
    assert {spec.family for spec in CATALOG.values()} <= listed
    assert {text for entry in SCHEDULE for text in (entry.name, entry.description)} <= listed
    assert {check.advice for check in CHECKS} <= listed
    with translation.override("es"):
        assert [text for text in listed if translation.gettext(text) == text] == []


@pytest.mark.parametrize("domain", ["django", "djangojs"])
def test_spanish_is_complete_and_compiled(domain):
    folder = ROOT / "locale" / "es" / "LC_MESSAGES"
    blocks = (folder / f"{domain}.po").read_text().split("\n\n")[1:]
    assert [block for block in blocks if re.search(r'msgstr(\[\d\])? ""(?!\n")', block) or "#, fuzzy" in block] == []
    with (folder / f"{domain}.mo").open("rb") as compiled:
        known = gettext.GNUTranslations(compiled)
    for block in blocks:
        parts = re.findall(r'^(msgid|msgstr) ((?:".*"\n?)+)', block, re.MULTILINE)
        words = {name: "".join(map(ast.literal_eval, text.strip().split("\n"))) for name, text in parts if text.strip()}
        if "msgstr" in words:
            assert known.gettext(words["msgid"]) == words["msgstr"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xgettext") is None, reason="xgettext of the gettext tools is not installed")
@pytest.mark.parametrize("domain", ["django", "djangojs"])
def test_no_text_of_the_pages_is_left_out_of_the_catalogue(domain, tmp_path):
    for name in (
        "indicators",
        "marketdata",
        "mlengine_project",
        "modelregistry",
        "predictions",
        "signals",
        "templates",
    ):
        left_out = shutil.ignore_patterns("vendor", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=left_out)
    (tmp_path / "locale").mkdir()
    script = f"""
import django
from django.conf import settings
from django.core.management import call_command

settings.configure()
django.setup()
call_command("makemessages", locale=["es"], domain="{domain}")
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    fresh, kept = (folder / "locale/es/LC_MESSAGES" / f"{domain}.po" for folder in (tmp_path, ROOT))
    assert texts_of(fresh)
    assert texts_of(fresh) - texts_of(kept) == set()


def texts_of(file):
    """Every text of a catalogue that is to be translated."""
    found = re.findall(r'^msgid ((?:".*"\n?)+)', file.read_text(), re.MULTILINE)
    return {"".join(map(ast.literal_eval, text.strip().split("\n"))) for text in found}


JOB_MESSAGES = {
    "fold 3 of 5: range_predictor scored": "pliegue 3 de 5: Predictor de rangos, evaluado",
    "fold 1: range_predictor, tpsl_classifier: done": "pliegue 1: Predictor de rangos, Clasificador TP/SL: terminado",
    "candles, features and labels: rows of BTCUSDT": "velas, variables y etiquetas: filas de BTCUSDT",
    "all candles: scale, held-out blocks": "todas las velas: escala, bloques apartados",
    "signal_classifier of exchange candles": "Clasificador de señales, velas de la bolsa",
    "cancelled before it began": "cancelado antes de empezar",
    "waits: the exchange answers 418": "espera: the exchange answers 418",
    "": "",
}


@pytest.mark.parametrize("message", JOB_MESSAGES)
def test_job_messages_are_in_the_language_of_the_page(message):
    with translation.override("es"):
        assert stored_text(message) == JOB_MESSAGES[message]


def test_a_running_job_is_described_in_the_language_of_the_page(admin_client):
    rows.market()
    Job.objects.create(kind="training", state="running", progress=0.4, message="fold 3 of 5: range_predictor scored")
    for path in ("/", "/console/models", "/console/operations"):
        page = admin_client.get(path, **SPANISH).content.decode()
        assert "pliegue 3 de 5: Predictor de rangos, evaluado" in page, path
    assert Job.objects.get().message == "fold 3 of 5: range_predictor scored"


def test_every_step_of_a_training_has_a_translation():
    steps = set()
    for source in (ROOT / "modelregistry" / "training").rglob("*.py"):
        steps |= set(re.findall(r'\b(?:tick|steps)\("([^"]+)"\)|\.stage = "([^"]+)"', source.read_text()))
    found = {text for pair in steps for text in pair if text}
    assert len(found) > 8
    with translation.override("es"):
        assert [text for text in found if stored_text(text) == text] == []


def test_reasons_of_the_gate_are_in_the_language_of_the_page():
    cell = {"symbol": "BTCUSDT", "horizon": 6, "target": "high", "pinball": 2.0, "baselines": {"ewm": 1.0}}
    cell |= {"skill": 0.5, "skill_error": 0.5, "coverage_80": 70.0, "coverage_90": 90.0, "coverage_80_error": 0.1}
    versus = {"evidence": "later candles", "lower": -1.0, "days": 20, "gain": 0.2, "error": 0.4}
    reasons = gate.range_verdict({"test_days": 5, "cells": [cell]}, versus).reasons
    reasons += gate.range_verdict(
        {"test_days": 5, "cells": [cell]}, {**versus, "evidence": "none", "later_days": 2}
    ).reasons
    english = {stored_text(text) for text in reasons}
    assert {text.replace(", ", " ") for text in english} == {text.replace(", ", " ") for text in reasons}
    with translation.override("es"):
        shown = [stored_text(text) for text in reasons]
    assert [text for text in shown if re.search(r"\b(than|the|not|of)\b", text)] == []
    assert "horizonte 6: las bandas del 80 % cubren el 70.0 % de los resultados" in shown


def test_a_page_that_is_not_there_says_so_in_one_language(client):
    page = client.get("/nope", HTTP_ACCEPT="text/html", **SPANISH).content.decode()
    assert "Aquí no hay nada." in page
    assert "There is nothing here." not in page
    assert client.get("/nope", **SPANISH).json()["message"] == "There is nothing here."

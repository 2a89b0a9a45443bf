"""Languages of the console: chosen, or the browser's; the API and the admin stay English."""

import pytest
from django.utils import translation

from tests.mlengine_project.console import rows

pytestmark = pytest.mark.django_db
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

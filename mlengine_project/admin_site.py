"""Settings of the admin theme and its sidebar; callbacks are dotted names, not imports."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _item(title: str, icon: str, model: str) -> dict[str, Any]:
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app}.view_{name}"),
    }


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "ML Engine",
    "SITE_HEADER": "ML Engine",
    "SITE_SUBHEADER": "Administration",
    "SITE_URL": "/",
    "SITE_SYMBOL": "ssid_chart",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("console/mark.svg")}],
    "SHOW_VIEW_ON_SITE": True,
    "ENVIRONMENT": "mlengine_project.console.dashboard.environment",
    "DASHBOARD_CALLBACK": "mlengine_project.console.dashboard.with_state",
    "STYLES": [lambda _request: static("console/admin.css")],
    "LOGIN": {"form": "mlengine_project.access.sign_in.AdminSignInForm"},
    "COLORS": {
        "primary": {
            "50": "#eef7fa", "100": "#d5ebf3", "200": "#aed8e7", "300": "#7cbfd7", "400": "#469fbf", "500": "#2384a6",
            "600": "#0b6b8a", "700": "#0d5671", "800": "#11485e", "900": "#123c4f", "950": "#092735",
        },
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Engine",
                "items": [
                    {"title": "State", "icon": "monitor_heart", "link": reverse_lazy("admin:index")},
                    {"title": "Live board", "icon": "dashboard", "link": "/", "active": lambda _request: False},
                    _item("Kill switch", "block", "signals.signalswitch"),
                    _item("Jobs", "model_training", "operations.job"),
                ],
            },
            {
                "title": "Models",
                "items": [
                    _item("Versions", "deployed_code", "modelregistry.modelversion"),
                    _item("Trials", "science", "modelregistry.trainingtrial"),
                    _item("Promotion log", "history_edu", "modelregistry.promotionevent"),
                    _item("Challenger predictions", "visibility_off", "predictions.challengerlog"),
                ],
            },
            {
                "title": "Predictions and signals",
                "items": [
                    _item("Signals", "flag", "signals.signallog"),
                    _item("Predictions", "query_stats", "predictions.predictionlog"),
                    _item("Outbox", "outbox", "signals.outboxmessage"),
                    _item("Sequences", "tag", "signals.symbolsequence"),
                    _item("Seals", "lock", "predictions.chainhead"),
                    _item("Archive", "inventory_2", "predictions.chaincut"),
                ],
            },
            {
                "title": "Market data",
                "items": [
                    _item("Markets", "storefront", "marketdata.market"),
                    _item("Candles", "candlestick_chart", "marketdata.candle"),
                    _item("Blocks", "grid_view", "marketdata.candleblock"),
                    _item("Revisions", "edit_note", "marketdata.candlerevision"),
                    _item("Absences", "event_busy", "marketdata.absentstretch"),
                    _item("Cut short", "content_cut", "marketdata.cutshortcandle"),
                    _item("Suspicions", "help", "marketdata.suspectedstretch"),
                    _item("Quarantine", "report", "marketdata.quarantinedmessage"),
                    _item("Exchange", "cloud_sync", "marketdata.exchangestate"),
                ],
            },
            {
                "title": "Operation",
                "items": [
                    _item("Schedule", "schedule", "django_celery_beat.periodictask"),
                    _item("Times of day", "calendar_clock", "django_celery_beat.crontabschedule"),
                    _item("Heartbeats", "ecg_heart", "operations.heartbeat"),
                    _item("Counters", "calculate", "operations.counter"),
                    _item("API keys", "key", "access.apikey"),
                    _item("Websocket tickets", "confirmation_number", "access.websocketticket"),
                    _item("Known addresses", "pin_drop", "access.knownaddress"),
                    _item("Users", "person", "auth.user"),
                    _item("Groups", "group", "auth.group"),
                ],
            },
        ],
    },
}  # fmt: skip

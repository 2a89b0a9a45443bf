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
        # Tables seldom looked at (sequences, seals, blocks, tickets) are in the drawer of all tables.
        "show_all_applications": True,
        "navigation": [
            {
                "title": "Engine",
                "items": [
                    {"title": "State", "icon": "monitor_heart", "link": reverse_lazy("admin:index")},
                    _item("Jobs", "model_training", "operations.job"),
                    _item("Schedule", "schedule", "django_celery_beat.periodictask"),
                ],
            },
            {
                "title": "Forecasts",
                "items": [
                    _item("Markets", "storefront", "marketdata.market"),
                    _item("Models", "deployed_code", "modelregistry.modelversion"),
                    _item("Promotion log", "history_edu", "modelregistry.promotionevent"),
                    _item("Predictions", "query_stats", "predictions.predictionlog"),
                    _item("Signals", "flag", "signals.signallog"),
                ],
            },
            {
                "title": "Access",
                "items": [
                    _item("API keys", "key", "access.apikey"),
                    _item("Users", "person", "auth.user"),
                ],
            },
        ],
    },
}  # fmt: skip

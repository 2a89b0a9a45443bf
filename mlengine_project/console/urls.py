"""URLs of the console pages."""

from django.urls import path, re_path

from mlengine_project.console import views
from mlengine_project.console.operating import views as operating
from mlengine_project.console.record import views as track_record
from mlengine_project.console.stored_data import views as stored_data
from mlengine_project.console.versions import decisions as model_decisions
from mlengine_project.console.versions import views as model_views

app_name = "console"
urlpatterns = [
    path("", views.board, name="board"),
    path("market/<str:symbol>", views.market, name="market"),
    path("console/cards", views.cards, name="cards"),
    path("console/notices", views.notices, name="notices"),
    path("console/chart/<str:symbol>", views.chart, name="chart"),
    path("console/indicators/<str:symbol>", views.indicators, name="indicators"),
    path("console/forecast/<str:symbol>", views.forecast, name="forecast"),
    path("console/forecast/<str:symbol>/opened", views.opened_forecast, name="opened_forecast"),
    path("console/panels/<str:symbol>", views.panels, name="panels"),
    path("console/models", model_views.models, name="models"),
    path("console/models/compare", model_views.compare, name="compare"),
    path("console/models/compare/charts", model_views.compared_charts, name="compared_charts"),
    path("console/models/comparisons/<int:comparison_id>", model_views.comparison, name="comparison"),
    path("console/models/train", model_decisions.train, name="train"),
    path("console/models/roll-back/<str:kind>", model_decisions.roll_back, name="roll_back"),
    path("console/models/<uuid:version_id>", model_views.version, name="version"),
    path("console/models/<uuid:version_id>/charts", model_views.charts, name="version_charts"),
    path("console/models/<uuid:version_id>/promote", model_decisions.promote, name="promote"),
    path("console/jobs/<uuid:job_id>/cancel", model_decisions.cancel, name="cancel_job"),
    path("console/record", track_record.record, name="record"),
    path("console/record/charts", track_record.charts, name="record_charts"),
    re_path(r"^console/record/track-record\.(?P<form>csv|parquet)$", track_record.download, name="record_file"),
    path("console/data", stored_data.data, name="data"),
    path("console/data/feed", stored_data.feed, name="feed"),
    path("console/data/backfill", stored_data.backfill, name="backfill"),
    path("console/data/days/<str:symbol>", stored_data.days, name="days"),
    path("console/operations", operating.operations, name="operations"),
    path("console/operations/live", operating.live, name="operating"),
    path("console/operations/switch", operating.switch, name="switch"),
    path("console/operations/switch/off", operating.switch_market_off, name="switch_market_off"),
    path("console/operations/switch/on/<str:symbol>", operating.switch_market_on, name="switch_market_on"),
    path("console/operations/keys/new", operating.create_key, name="create_key"),
    path("console/operations/keys/<uuid:key_id>/rotate", operating.rotate_key, name="rotate_key"),
    path("console/operations/keys/<uuid:key_id>/revoke", operating.revoke_key, name="revoke_key"),
    path("console/record-panel", views.record_panel, name="record_panel"),
    path("console/language", views.language, name="language"),
    path("console/texts.js", views.texts, name="texts"),
    path("console/sign-in", views.sign_in, name="sign_in"),
    path("console/sign-in/<str:token>", views.one_time, name="one_time"),
    path("console/sign-out", views.sign_out, name="sign_out"),
]

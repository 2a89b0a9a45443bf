"""URLs of the console pages."""

from django.urls import path

from mlengine_project.console import views

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
    path("console/models", views.models, name="models"),
    path("console/record-panel", views.record_panel, name="record_panel"),
    path("console/language", views.language, name="language"),
    path("console/texts.js", views.texts, name="texts"),
    path("console/sign-in", views.sign_in, name="sign_in"),
    path("console/sign-in/<str:token>", views.one_time, name="one_time"),
    path("console/sign-out", views.sign_out, name="sign_out"),
]

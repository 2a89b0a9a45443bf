"""The whole REST surface on one screen. Paths carry no trailing slash."""

from django.urls import path

from mlengine_project import pages
from mlengine_project.access.viewsets import TicketViewSet
from modelregistry.viewsets import ModelViewSet

urlpatterns = [
    path("models", ModelViewSet.as_view({"get": "list"})),
    path("models/status", ModelViewSet.as_view({"get": "status"})),
    path("models/<str:id>", ModelViewSet.as_view({"get": "retrieve"})),
    path("ws-tickets", TicketViewSet.as_view({"post": "create"})),
    path("schema", pages.schema),
    path("docs", pages.swagger),
    path("redoc", pages.redoc),
]

"""URLs of the engine."""

from django.contrib import admin
from django.urls import include, path

from mlengine_project.http import error_pages

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("mlengine_project.api")),  # before the pages, since programs ask more often
    path("", include("mlengine_project.console.urls")),
    # Unknown paths get the standard error answer, also with DEBUG.
    path("<path:rest>", error_pages.not_found),
]

handler400 = error_pages.bad_request
handler403 = error_pages.permission_denied
handler404 = error_pages.not_found
handler500 = error_pages.server_error

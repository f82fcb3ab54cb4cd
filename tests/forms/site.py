"""A page with one settings form on it, in the admin's style, served with a strict content security policy."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import Context, Template
from django.template.context_processors import csrf
from django.urls import path

from connections.adapters import schema
from connections.forms import SettingsForm, initial_from_url
from tests.forms.toys import ToyConfig

MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware", "csp.middleware.CSPMiddleware"]
PAGE = Template("""{% load static %}<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Toy</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="{% static 'admin/css/base.css' %}">
<link rel="stylesheet" href="{% static 'admin/css/forms.css' %}">{{ form.media }}</head>
<body><div id="container"><div class="main"><div class="content"><main id="content" class="colM">
<h1>Change connection</h1><form method="post" enctype="multipart/form-data">{% csrf_token %}
{% if form.errors %}<p class="errornote">Please correct the errors below.</p>{% endif %}
{% include "connections/forms/settings.html" %}
<div class="submit-row"><input type="submit" value="Save" class="default"></div>
</form></main></div></div></div></body></html>""")


class Shelf:
    """What the page's connection has stored, and what was saved last."""

    options: dict = {}
    saved: tuple | None = None


def edit(request: HttpRequest) -> HttpResponse:
    data, files = (request.POST, request.FILES) if request.method == "POST" else (None, None)
    form = SettingsForm(ToyConfig, data=data, files=files, parse_url="/parse-url/", **Shelf.options)
    if form.fill_requested:
        form = SettingsForm(ToyConfig, config=initial_from_url(ToyConfig, form.pasted_url)[0], parse_url="/parse-url/")
    elif form.is_bound and form.is_valid():
        Shelf.saved = form.cleaned_settings()
        return HttpResponse('<link rel="icon" href="data:,"><h1>Saved</h1>')
    return HttpResponse(PAGE.render(Context({"form": form, **csrf(request)})))


def parse_url(request: HttpRequest) -> JsonResponse:
    try:
        config, secrets = initial_from_url(ToyConfig, json.loads(request.body)["url"])
    except ValueError as exc:
        return JsonResponse({"code": "invalid", "detail": str(exc)}, status=400)
    return JsonResponse({"config": config, "secrets": [".".join(name) for name in schema.paths(secrets)]})


urlpatterns = [path("", edit), path("parse-url/", parse_url)]


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def served() -> Iterator[str]:
    """The address of the page while the block runs."""
    with make_server("127.0.0.1", 0, StaticFilesHandler(WSGIHandler()), handler_class=_Silent) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(10)

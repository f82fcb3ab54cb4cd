"""The least a program could do: a Django view that fetches rows with the raw driver and answers them as JSON.

No key, no organisation, no guard, no budget, no record. Served by the same server as the catalogue.
"""

from __future__ import annotations

import os
import threading

import orjson
import psycopg
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="benchmark", MIDDLEWARE=[], DATABASES={}
)
_local = threading.local()
TABLES = {"": "small", "flights": "flights"}


def rows(request: HttpRequest) -> HttpResponse:
    if not hasattr(_local, "connection"):
        _local.connection = psycopg.connect(os.environ["BENCHMARK_DSN"], autocommit=True)
    cursor = _local.connection.execute(f"select * from {TABLES[request.META['QUERY_STRING']]} limit 100")
    columns = [column.name for column in cursor.description]
    return HttpResponse(orjson.dumps({"columns": columns, "rows": cursor.fetchall()}, default=str))


urlpatterns = [path("rows", rows)]
application = get_wsgi_application()

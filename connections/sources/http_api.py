"""Any API that answers JSON over HTTP."""

from __future__ import annotations

from connections.adapters.contract import Category
from connections.adapters.http import HTTPAdapter, HTTPConfig


class HTTPAPIAdapter(HTTPAdapter[HTTPConfig]):
    """JSON over HTTP/1.1: GET, and POST where allowed; one answer, pages, or JSON Lines."""

    id = "http_api"
    label = "HTTP API"
    category = Category.APPLICATION
    config_class = HTTPConfig
    tested_against = "our own HTTP and HTTPS server"


adapter = HTTPAPIAdapter

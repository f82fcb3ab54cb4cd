"""The OpenAPI document and a page to browse it; they tell of no organisation, so anybody may read them."""

from __future__ import annotations

from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import TemplateHTMLRenderer


class SchemaView(SpectacularAPIView):
    http_method_names = ["get", "head"]
    authentication_classes = []
    permission_classes = []
    renderer_classes = [OpenApiJsonRenderer, OpenApiJsonRenderer2]
    content_negotiation_class = DefaultContentNegotiation


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own static files, its script in a file of its own: the content policy allows no inline."""

    http_method_names = ["get", "head"]
    authentication_classes = []
    permission_classes = []
    renderer_classes = [TemplateHTMLRenderer]
    content_negotiation_class = DefaultContentNegotiation

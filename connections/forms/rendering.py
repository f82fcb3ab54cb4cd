"""Where the form's templates are found: the project's own by the template engine, Django's by Django."""

from __future__ import annotations

from typing import Any

from django.forms.renderers import DjangoTemplates
from django.template import loader

OURS = "connections/forms/"


class ProjectTemplates(DjangoTemplates):
    """Django's form renderer, which also finds our widgets, wherever the deployment keeps its templates."""

    def get_template(self, template_name: str) -> Any:
        if template_name.startswith(OURS):
            return loader.get_template(template_name)
        return super().get_template(template_name)

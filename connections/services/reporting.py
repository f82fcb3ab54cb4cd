"""Django's report of an unhandled exception, on its debug page and in mails, without anything that was sent.

The stock report shows the variables of every frame, what was posted, and the exception's text: any of them may hold a
secret that somebody just typed. This one shows where it happened, and of what type it was.
"""

from __future__ import annotations

from typing import Any

from django.views.debug import ExceptionReporter

HIDDEN = "(not shown: it may hold what was sent)"


class Reporter(ExceptionReporter):
    """The stock report without variables, texts of exceptions, and what the request brought."""

    def get_traceback_data(self) -> dict[str, Any]:
        data = super().get_traceback_data()
        for frame in data.get("frames", ()):
            frame["vars"] = []
            if frame.get("exc_cause"):
                frame["exc_cause"] = type(frame["exc_cause"]).__name__
        if data.get("frames"):
            data["lastframe"] = data["frames"][-1]
        if data.get("exception_value"):
            data["exception_value"] = data["exception_notes"] = HIDDEN
        data.update(
            request_insecure_uri="",
            unicode_hint="",
            settings={},
            request_meta={},
            filtered_POST_items=[],
            request_GET_items=[],
            request_COOKIES_items=[],
            request_FILES_items=[],
            request=None,
        )
        return data

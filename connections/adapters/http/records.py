"""From an answer to its records, by JSONPath or jq.

Both languages can loop: they run in the worker, which is killed at its deadline. jq also knows the environment and
files; it is shown an empty environment, and its directives for files do not parse where the expression stands.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from connections.adapters.contract import Driver
from connections.adapters.errors import DriverMissingError, InvalidError, ProtocolError, QueryError
from connections.adapters.http.documents import Document, parse
from connections.adapters.http.query import Records

Select = Callable[[Document], list[Any]]

FIELD = "/query/records/expression"
JQ = Driver("jq", pip="jq>=1.10")
JSONPATH = Driver("jsonpath", pip="python-jsonpath>=2.0")

# `import` and `include` open files, and stand at the start of a program only: here that is ours. An expression may
# close the parenthesis, but not leave the `as`. `tojson` writes numbers as they came; jq's own results are doubles.
_JQ = "def env: {{}}; def modulemeta: null; def input_filename: null; {{}} as $ENV | ({}\n) | tojson"
_JQ_REASON = re.compile(r"Cannot (?:iterate over|index) [a-z]+(?: with [a-z]+)?")


def selecting(records: Records | None) -> Select:
    """What gives the records of a document. Raises ``InvalidError`` for an expression that does not parse."""
    if records is None:
        return lambda document: document.value if isinstance(document.value, list) else [document.value]
    return _jq(records.expression) if records.language == "jq" else _json_path(records.expression)


def locating(expression: str, field: str) -> Callable[[Document], Any]:
    """What gives the one value at a JSONPath, or None where there is none."""
    find = _found(expression, field)

    def locate(document: Document) -> Any:
        found = find(document)
        return found[0] if found else None

    return locate


def _json_path(expression: str) -> Select:
    find = _found(expression, FIELD)

    def select(document: Document) -> list[Any]:
        found = find(document)
        # `$.items` means its elements, as `$.items[*]` does.
        return found[0] if len(found) == 1 and isinstance(found[0], list) else found

    return select


def _found(expression: str, field: str) -> Select:
    jsonpath = _module(JSONPATH)
    try:
        path = jsonpath.compile(expression)
    except jsonpath.JSONPathError as exc:
        reason = str(exc).splitlines()[0][:200]
        raise InvalidError(f"The JSONPath is not valid: {reason}.", field=field) from None

    def find(document: Document) -> list[Any]:
        try:
            return list(path.findall(document.value))
        except (jsonpath.JSONPathError, RecursionError):
            raise QueryError("The JSONPath does not work on this answer.", field=field) from None

    return find


def _jq(expression: str) -> Select:
    jq = _module(JQ)
    try:
        program = jq.compile(_JQ.format(expression))
    except ValueError as exc:
        found = re.search(r"error: (.*?) at <top-level>", str(exc))
        reason = found[1][:200] if found else "it does not parse"
        raise InvalidError(f"The jq expression is not valid: {reason}.", field=FIELD) from None

    def select(document: Document) -> list[Any]:
        if not document.text.strip():
            raise ProtocolError("The source's answer is empty, where JSON is due.")
        try:
            texts = program.input_text(document.text).all()
        except ValueError as exc:
            raise _jq_failure(str(exc)) from None
        if not all(isinstance(text, str) for text in texts):
            raise QueryError("The jq expression does not give JSON values.", field=FIELD)
        return [parse(text) for text in texts]

    return select


def _jq_failure(words: str) -> QueryError | ProtocolError:
    """jq's words without the data that it puts in them."""
    if words.startswith("parse error"):
        return ProtocolError("The source's answer is not JSON.")
    reason = _JQ_REASON.search(words)
    return QueryError(
        f"The jq expression does not work on this answer: {reason[0]}."
        if reason
        else "The jq expression does not work on this answer.",
        field=FIELD,
    )


def _module(driver: Driver) -> Any:
    try:
        return importlib.import_module(driver.module)
    except ImportError:
        raise DriverMissingError(
            f"{driver.module} is not installed. Run: {driver.install}", hint=driver.install
        ) from None

"""Sources that answer JSON over HTTP: settings, queries, paging, and a client that goes nowhere unjudged.

    config      where to send requests, and as whom
    query       what to ask for; addresses how its path stays beneath the base URL
    client      one request to one answer: judged addresses, one deadline, bounded bodies
    answers     what a status or a failure means
    paging      answer after answer
    records     an answer to records
    columns     records to columns and rows

Importing this package imports no driver.
"""

from connections.adapters.http.adapter import HTTPAdapter
from connections.adapters.http.config import HTTPConfig
from connections.adapters.http.query import HTTPQuery

__all__ = ["HTTPAdapter", "HTTPConfig", "HTTPQuery"]

"""The conformance suite: what holds for every source, proven against its real far side."""

from __future__ import annotations

from connections.testing.diagnosis import Diagnosis
from connections.testing.identity import Identity
from connections.testing.reading import Reading
from connections.testing.secrecy import Secrecy
from connections.testing.sessions import Sessions
from connections.testing.workers import Workers


class SourceConformance(Identity, Diagnosis, Reading, Secrecy, Sessions, Workers):
    """Subclass it in a test module, once for each source; ``connections.testing.subject`` says what to give.

    A test about something that the source lacks is not run; ``not_applicable`` says what that is, and why.
    """

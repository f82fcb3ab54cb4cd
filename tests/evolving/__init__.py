"""A third-party source that had three versions of its settings, installed by putting ``SITE`` on the path.

``EVOLVING_VERSION`` says which of them a process has, 3 unless given.
"""

from pathlib import Path

SITE = str(Path(__file__).with_name("site"))

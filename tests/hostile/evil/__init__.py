"""A third-party source that means harm, installed by putting ``SITE`` on the path.

``catalog_evil`` has it twice: for the class of workers that have the network, and for the class that has files.
"""

from pathlib import Path

SITE = str(Path(__file__).with_name("site"))

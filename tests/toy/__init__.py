"""A third-party source, installed by putting ``SITE`` on the path: what a plug-in is to a deployment.

It does on demand what real sources do only when something is wrong: hang, crash, use up memory.
"""

from pathlib import Path

SITE = str(Path(__file__).with_name("site"))

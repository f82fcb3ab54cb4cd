"""The life of keys: counted, re-wrapped, renewed, retired, erased.

Each organisation has a data key, which seals its connections' secrets. The deployment's ring (CATALOG_KEYS) seals the
data keys. ``rewrapping`` moves data keys to the ring's newest key; ``renewing`` gives an organisation another data key;
``ending`` says when a ring key can go, and erases an organisation's keys.
"""

"""Key ring, sealed blobs, organisation keys: the only code that sees ciphertext or key bytes.

Import the modules, not this package: ``keyring`` must load before Django's settings are complete.
"""

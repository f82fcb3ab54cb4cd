"""The real servers that tests speak to. Each is a child of the test process and leaves nothing behind."""

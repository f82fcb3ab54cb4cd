"""A source whose settings have a history."""

"""The files family: folders, bounded readers, and the query that chooses files."""

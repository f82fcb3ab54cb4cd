"""Bounded readers, one module for each format."""

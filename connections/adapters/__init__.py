"""Adapters: the contract every source keeps, and the families that share work. Pure Python, no Django."""

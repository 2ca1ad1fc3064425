"""Datapacks of the kinds that there are."""

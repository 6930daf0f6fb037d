"""Audits: what in a corpus may mislead whoever trains on it, told in numbers and row numbers."""

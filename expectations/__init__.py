"""Contracts of the data (Open Data Contract Standard) and the Great Expectations suites derived from them."""

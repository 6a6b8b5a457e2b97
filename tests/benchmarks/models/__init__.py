"""`make bench-models`: how good lead scores are on real data, beside what one would otherwise use."""

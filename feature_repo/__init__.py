"""Derives Feast's objects from the SQL of a use case. `<use case>/` holds that SQL and nothing else."""

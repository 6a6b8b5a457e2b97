"""A lint of DAGs, use cases, parameters, settings, machine and state: one rule each, each saying how to mend it."""

"""Feast's materialization, made fast: a compute engine, Feast's own extension point, named in its configuration."""

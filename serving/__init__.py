"""The real-time endpoint: MLflow's own scoring app and scores by a lead's id, one ASGI application."""

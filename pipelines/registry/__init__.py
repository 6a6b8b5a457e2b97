"""The model registry: MLflow's, through this room only."""

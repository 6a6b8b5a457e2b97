"""A living Airflow with MLflow's UI beside it: which processes, their watch, and what they are asked."""

"""Wiring only: the steps as Airflow DAGs, one per tenant and step."""

"""The steps of Leadwise: plain functions `step(tenant, interval) -> Report`, called by Airflow, DVC and the command line."""

"""The steps of Leadwise: plain functions `step(tenant, interval) -> Report`, called by Airflow and the command line."""

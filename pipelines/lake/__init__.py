"""The lake: Iceberg tables of a tenant, its identities, and views of what was known at an instant."""

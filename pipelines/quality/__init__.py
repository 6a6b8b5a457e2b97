"""The gate: contracts decide which rows are clean, which go to quarantine, and which batches are refused."""

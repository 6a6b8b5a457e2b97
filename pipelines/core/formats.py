"""How files are read, wherever they are."""

CSV_OPTIONS = "header = true, all_varchar = true, hive_partitioning = false, quote = '\"', comment = '', skip = 0"
"""For DuckDB's read_csv. Left to itself it may take # for the sign of a comment, or the first lines for none of its
rows, and drop them without a word."""

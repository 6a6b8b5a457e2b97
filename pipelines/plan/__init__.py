"""What a change of contracts, SQL or parameters would do, before anything is applied."""

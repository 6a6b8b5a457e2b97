"""Feature rows as of each instant, their stores, and the joins that read them."""

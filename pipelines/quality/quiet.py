"""Great Expectations without its voice."""

import logging
import os


def quiet() -> None:
    """Keep Great Expectations from phoning home and from talking; call before it is imported."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    logging.getLogger("great_expectations").setLevel(logging.ERROR)

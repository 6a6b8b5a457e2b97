"""Fixtures of the endpoint's tests."""

from tests.pipelines.features.servers import redis_server, redis_session  # noqa: F401 - fixtures

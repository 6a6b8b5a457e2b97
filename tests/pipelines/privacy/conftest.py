"""A Redis, where a test asks for one."""

from tests.pipelines.features.servers import redis_server, redis_session  # noqa: F401 - fixtures

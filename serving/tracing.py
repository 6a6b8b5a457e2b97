"""OpenTelemetry spans of requests, where the environment names an exporter as OpenTelemetry has it; else nothing."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

_NOTHING: AbstractContextManager[Any] = nullcontext()


class Tracing:
    """Makes spans; of a kind that costs nothing where they go nowhere."""

    def __init__(self, provider: Any = None) -> None:
        """Keep the tracer of an OpenTelemetry provider; None makes no spans."""
        self._provider = provider
        self._tracer = None if provider is None else provider.get_tracer("leadwise.serving")

    def request(self, scope: Scope, route: str, number: str) -> AbstractContextManager[Any]:
        """The span of a request: a child of the caller's where it says so (`traceparent`).

        Args:
            scope: of the request.
            route: its path, as far as it is one of ours.
            number: id of the request.
        """
        if self._tracer is None:
            return _NOTHING
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        told = {"http.request.method": scope["method"], "http.route": route, "leadwise.request_id": number}
        span: AbstractContextManager[Any] = self._tracer.start_as_current_span(
            f"{scope['method']} {route}",
            context=TraceContextTextMapPropagator().extract(headers),
            kind=SpanKind.SERVER,
            attributes=told,
            record_exception=False,
        )
        return span

    def part(self, name: str, **told: Any) -> AbstractContextManager[Any]:
        """The span of a part of the request under way."""
        if self._tracer is None:
            return _NOTHING
        about = {f"leadwise.{key}": value for key, value in told.items()}
        span: AbstractContextManager[Any] = self._tracer.start_as_current_span(
            name, attributes=about, record_exception=False
        )
        return span

    def close(self) -> None:
        """Send what has not been sent."""
        if self._provider is not None:
            self._provider.shutdown()


OFF = Tracing()


def ended(span: Any, status: int, **told: Any) -> None:
    """Say how a request ended, where it has a span."""
    if span is None:
        return
    span.set_attributes({"http.response.status_code": status, **{f"leadwise.{key}": one for key, one in told.items()}})
    if status >= 500:
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR))


def configured(tenant: str, environment: Mapping[str, str] | None = None) -> Tracing:
    """What the variables of OpenTelemetry ask for: OTEL_TRACES_EXPORTER (otlp, console, none), or an OTLP address.

    Args:
        tenant: named in every span.
        environment: None is that of the process.

    Raises:
        ConfigError: no exporter of that name is installed.
    """
    told = os.environ if environment is None else environment
    addresses = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    name = told.get("OTEL_TRACES_EXPORTER") or ("otlp" if any(told.get(one) for one in addresses) else "none")
    if name == "none" or told.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return OFF
    from importlib.metadata import entry_points

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    protocols = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((told[one] for one in protocols if told.get(one)), "http/protobuf")
    wanted = f"otlp_proto_{protocol.partition('/')[0]}" if name == "otlp" else name
    found = next(iter(entry_points(group="opentelemetry_traces_exporter", name=wanted)), None)
    if found is None:
        raise ConfigError(f"OTEL_TRACES_EXPORTER={name} ({protocol}) is not installed: choose otlp, console or none")
    about = {"service.name": told.get("OTEL_SERVICE_NAME", "leadwise"), "leadwise.tenant": tenant}
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(found.load()()))
    return Tracing(provider)

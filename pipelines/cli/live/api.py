"""What `leadwise up` asks Airflow's REST API."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

import httpx

_COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


class AirflowApi:
    """A user logged in to a local Airflow.

    Args:
        address: of the API server, without a slash at the end.
        user: name.
        password: of the user.
    """

    def __init__(self, address: str, user: str, password: str) -> None:
        self.address = address
        self._client = httpx.Client(base_url=address, timeout=10.0, trust_env=False)
        self._login = {"username": user, "password": password}

    def close(self) -> None:
        """Free the connection."""
        self._client.close()

    def waiting_for(self) -> list[str]:
        """Components of Airflow that are not healthy yet."""
        try:
            told = self._client.get("/api/v2/monitor/health").json()
        except (httpx.HTTPError, ValueError):
            return ["api-server"]
        return [name for name in _COMPONENTS if (told.get(name) or {}).get("status") != "healthy"]

    def knows(self, dag_id: str) -> bool:
        """Whether the DAG has been read; no while nobody answers yet."""
        with suppress(httpx.HTTPError, KeyError, ValueError):
            return self._request("GET", f"/api/v2/dags/{dag_id}").status_code == 200
        return False

    def trigger(self, dag_id: str, conf: dict[str, str], run_after: datetime) -> None:
        """Start a run by hand, with its parameters; of several that wait, the one with the oldest `run_after` is first.

        Raises:
            httpx.HTTPStatusError: Airflow refuses.
        """
        body = {"logical_date": None, "conf": conf, "run_after": run_after.isoformat()}
        self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body).raise_for_status()

    def ended(self, since: str) -> list[dict[str, Any]]:
        """Runs of all DAGs that ended after the instant `since` (ISO 8601), the oldest first."""
        asked = {"end_date_gt": since, "state": ["success", "failed"], "order_by": "end_date", "limit": "50"}
        with suppress(httpx.HTTPError, ValueError, KeyError):
            found: list[dict[str, Any]] = self._request("GET", "/api/v2/dags/~/dagRuns", params=asked).json()[
                "dag_runs"
            ]
            return found
        return []

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = self._client.request(method, path, **options)
        if answer.status_code == 401:  # not logged in yet, or no longer
            token = self._client.post("/auth/token", json=self._login).raise_for_status().json()["access_token"]
            self._client.headers["authorization"] = f"Bearer {token}"
            answer = self._client.request(method, path, **options)
        return answer

"""Settings of services whose replicas may stand behind Ray Serve."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chassis.settings import ServiceSettings


class ServeSettings(BaseModel):
    """Replicas behind Ray Serve: how many, how much each takes on and what it occupies.

    Requests that a replica works on at once are ``max_in_flight``. A Serve config may overrule what it names.

    Attributes:
        min_replicas: Replicas without load.
        max_replicas: Replicas at most.
        target_ongoing_requests: Requests per replica that replicas are added for.
        max_queued_requests: Requests that wait in a proxy while all replicas are busy; more are refused.
        request_timeout_seconds: Longest life of a request, whatever its deadline says.
        cpus: Cores a replica occupies.
        gpus: GPUs a replica occupies; parts of one are fine.
        health_period_seconds: Between two health checks of a replica.
        health_timeout_seconds: After which a health check has failed.
        http_port: Of Serve's HTTP proxy, which answers health checks and nothing else; for a local start.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int = Field(default=4, ge=1)
    target_ongoing_requests: float = Field(default=8.0, gt=0)
    max_queued_requests: int = Field(default=64, ge=1)
    request_timeout_seconds: float = Field(default=60.0, gt=0)
    cpus: float = Field(default=1.0, ge=0)
    gpus: float = Field(default=0.0, ge=0)
    health_period_seconds: float = Field(default=5.0, gt=0)
    health_timeout_seconds: float = Field(default=10.0, gt=0)
    http_port: int = Field(default=8000, gt=0, le=65535)

    @model_validator(mode="after")
    def _range_is_one(self) -> ServeSettings:
        if self.max_replicas < self.min_replicas:
            raise ValueError("max_replicas must not be less than min_replicas")
        return self


class ReplicatedSettings(ServiceSettings):
    """Settings of a service that runs as a process of its own or as replicas behind Ray Serve.

    Attributes:
        serve: Replicas behind Ray Serve.
    """

    serve: ServeSettings = ServeSettings()

"""What the chart's values may be: the one place where their types and meanings are written."""

from __future__ import annotations

from scripts.helm_schema_parts import (
    CPU_OR_MEMORY,
    PEER,
    Schema,
    choice,
    closed,
    count,
    credentials,
    egress,
    flag,
    listing,
    name,
    needed,
    number,
    peers,
    text,
    texts,
)
from scripts.helm_schema_servers import servers


def _rules(description: str, direction: str) -> Schema:
    fields = {direction: {"type": "array", "items": PEER}, "ports": {"type": "array"}}
    return listing(description, {"type": "object", "additionalProperties": False, "properties": fields})


def _resources(description: str) -> Schema:
    amounts = {"type": "object", "additionalProperties": CPU_OR_MEMORY}
    return {
        "type": "object",
        "description": description,
        "additionalProperties": False,
        "properties": {"requests": amounts, "limits": amounts},
    }


def _image(description: str) -> Schema:
    return closed(
        description,
        name=needed("Name of the image below the registry."),
        tag=text("Tag, where it is not that of all images."),
    )


def scheduling() -> dict[str, Schema]:
    """Where pods run and what they carry."""
    environment = {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {"name": {"type": "string"}, "value": {"type": "string"}, "valueFrom": {"type": "object"}},
    }
    profile = closed(
        "Seccomp profile of its pods.",
        type=choice("Kind of seccomp profile.", "RuntimeDefault", "Localhost"),
        localhostProfile=text("File of a profile on the node."),
    )
    return {
        "image": _image("Its image."),
        "resources": _resources("Requests and limits of its container."),
        "tmpSize": {**CPU_OR_MEMORY, "description": "Most that is written to its only writable directory, /tmp."},
        "nodeSelector": texts("Labels of nodes it may run on."),
        "tolerations": listing("Taints it tolerates.", {"type": "object"}),
        "affinity": {"type": "object", "description": "Affinity of its pods."},
        "priorityClassName": name("Priority class of its pods."),
        "seccompProfile": profile,
        "podAnnotations": texts("Annotations of its pods."),
        "podLabels": texts("Labels of its pods."),
        "extraEnv": listing("More environment, as in a container.", environment),
        "extraEgress": _rules("More NetworkPolicy egress rules.", "to"),
    }


def workloads() -> dict[str, Schema]:
    """What each long-running workload has."""
    return {
        "replicas": count("Pods, where nothing scales them."),
        "podDisruptionBudget": closed(
            "How many pods may be taken away at once.",
            enabled=flag("Whether evictions are limited."),
            maxUnavailable={"type": ["integer", "string"], "description": "Pods, or a share, that may be missing."},
        ),
        **scheduling(),
        "topologySpread": closed(
            "Spread over zones and nodes.",
            enabled=flag("Whether pods are spread over zones and nodes."),
            whenUnsatisfiable=choice("What if they can't be.", "ScheduleAnyway", "DoNotSchedule"),
        ),
        "serviceAccount": closed(
            "Its service account.",
            annotations=texts("Annotations of its service account, of a cloud role for instance."),
        ),
        "extraIngress": _rules("More NetworkPolicy ingress rules.", "from"),
    }


def _hpa() -> Schema:
    return closed(
        "HorizontalPodAutoscaler.",
        enabled=flag("Whether a HorizontalPodAutoscaler sets the number of pods; needs a metrics server."),
        minReplicas=count("Fewest pods.", 1),
        maxReplicas=count("Most pods.", 1),
        cpuUtilization=count("Percent of the requested CPU that pods should use.", 1),
    )


def _lag_scaling() -> Schema:
    return closed(
        "KEDA ScaledObject.",
        enabled=flag("Whether KEDA sets the number of pods by how many changes wait."),
        minReplicas=count("Fewest pods.", 1),
        maxReplicas=count("Most pods; more than the topic has partitions would idle.", 1),
        lagThreshold=count("Changes that may wait per pod.", 1),
        pollingSeconds=count("How often Kafka is asked.", 1),
        cooldownSeconds=count("How long the number must be too high before pods go.", 0),
    )


def _encoder() -> dict[str, Schema]:
    return {
        "autoscaling": _hpa(),
        "serving": choice("As a Deployment, or as Ray Serve replicas of a KubeRay RayService.", "deployment", "ray"),
        "ray": closed(
            "For serving: ray.",
            image=_image("Its image there, which holds Ray."),
            minReplicas=count("Fewest replicas.", 1),
            maxReplicas=count("Most replicas.", 1),
            targetOngoingRequests=number("Requests per replica that Ray Serve scales for.", 0.1),
            maxQueuedRequests=count("Requests that wait in a proxy while all replicas are busy.", 1),
            requestTimeoutSeconds=number("Longest life of a request, whatever its deadline says.", 1),
            replicaCpus=number("CPUs of a replica; a pod has room for as many as its requests say.", 0),
            replicaGpus=number("GPUs of a replica.", 0),
            headResources=_resources("Requests and limits of the head, which serves nothing."),
        ),
    }


def _shared() -> dict[str, Schema]:
    seconds = "Part of terminationGracePeriodSeconds:"
    return {
        "telemetry": closed(
            "Logs and traces.",
            logLevel=choice("Lowest level that is logged.", "DEBUG", "INFO", "WARNING", "ERROR"),
            otlpEndpoint=text(
                "OTLP/gRPC collector, `http://host:port`; none for no traces.", pattern="^(https?://.+)?$"
            ),
            traceSampleRatio=number("Share of traces that are recorded.", 0, maximum=1),
            egress=egress(ports=False),
        ),
        "identity": closed(
            "Keys that services prove each other their identity with.",
            existingSecrets=closed(
                "All three or none.",
                gateway=name("Secret with gateway.private.pem. All three or none: a Job then makes the keys."),
                ingest=name("Secret with ingest.private.pem."),
                jwks=name("Secret with jwks.json, the public keys."),
            )
            | {
                "oneOf": [
                    {"properties": {key: {"maxLength": 0} for key in ("gateway", "ingest", "jwks")}},
                    {"properties": {key: {"minLength": 1} for key in ("gateway", "ingest", "jwks")}},
                ]
            },
        ),
        "termination": closed(
            "How pods stop.",
            preStopSeconds=count(
                f"{seconds} serving on, while others forget the pod. More than the TTL of cluster DNS."
            ),
            drainSeconds=number(f"{seconds} what was accepted is finished, and the process ends itself.", 1),
            marginSeconds=number(f"{seconds} before the pod is killed.", 1),
        ),
        "podSecurity": closed(
            "Who the processes are.",
            runAsUser=count("User; not root.", 1),
            runAsGroup=count("Group, which secrets are readable for.", 1),
        ),
        **_around(),
        "ray": closed("KubeRay.", version=needed("Version of Ray in the images.")),
    }


def _around() -> dict[str, Schema]:
    """What stands around the services."""
    return {
        "networkPolicy": closed(
            "Only the edges between the services, and these, are open.",
            enabled=flag("Whether everything else is denied."),
            gatewayClients=peers("Who may call the gateway."),
            prometheus=peers("Who may read metrics."),
            dns=peers("Name servers."),
            rayOperator=peers("KubeRay's operator."),
        ),
        "monitoring": closed(
            "For Prometheus and Grafana.",
            labels=texts("Labels of ServiceMonitors and PrometheusRules, where Prometheus selects by them."),
            serviceMonitors=closed(
                "ServiceMonitors.",
                enabled=flag("Whether there is one for each service."),
                interval=text("Between two scrapes."),
            ),
            rules=closed("PrometheusRules.", enabled=flag("Whether alerts are installed.")),
            dashboards=closed("ConfigMaps for Grafana.", enabled=flag("Whether dashboards are installed.")),
        ),
    }


def _gateway() -> dict[str, Schema]:
    return {
        "auth": closed(
            "Whose tokens the gateway accepts.",
            issuer=needed("`iss` of accepted tokens."),
            audience=needed("`aud` of accepted tokens."),
            jwksUrl=text("Where the issuer's public keys are.", pattern="^(https://.+)?$"),
            jwks=text("The JWK set itself, as JSON; one of the two is needed."),
            egress=egress(ports=False),
        )
        | {"anyOf": [{"properties": {key: {"minLength": 1}}} for key in ("jwksUrl", "jwks")]},
        "openai": closed(
            "An OpenAI-compatible endpoint that writes the answers; without one they are extracts.",
            baseUrl=text(
                "Its base URL, which ends in /v1; without one, answers are extracts.", pattern="^(https://.+)?$"
            ),
            model=text("Name of the model."),
            **credentials(apiKey="Its key with the API key."),
            egress=egress(ports=False),
            second=closed(
                "Another endpoint, which writes where the first one fails before its first word.",
                baseUrl=text("Its base URL, which ends in /v1.", pattern="^(https://.+)?$"),
                model=text("Name of its model."),
                **credentials(apiKey="Its key with the API key."),
                egress=egress(ports=False),
            ),
        ),
        "service": closed(
            "Its Service.",
            type=choice("Kind of Service.", "ClusterIP", "NodePort", "LoadBalancer"),
            annotations=texts("Annotations of the Service."),
        ),
        "autoscaling": _hpa(),
    }


def chart(settings: dict[str, Schema]) -> Schema:
    """The schema of all values, given those of each service's settings."""
    workload = workloads()

    def service(title: str, service_settings: Schema, **more: Schema) -> Schema:
        return closed(title, **more, **workload, settings=service_settings)

    admin = scheduling() | {
        "init": closed(
            "`headwater admin init` before each installation and upgrade.",
            enabled=flag("Whether topics and indexes are created by a hook."),
            deadlineSeconds=count("Most it may take.", 1),
        )
    }
    root = closed(
        "Values of the Headwater chart.",
        nameOverride=name("Name of the chart in names and labels."),
        fullnameOverride=name("What all names begin with."),
        commonLabels=texts("Labels of everything."),
        image=closed(
            "Where images come from.",
            registry=needed("Images are `<registry>/<image.name>:<tag>`."),
            tag=text("Tag of all images; the chart's appVersion where empty."),
            pullPolicy=choice("When images are pulled.", "IfNotPresent", "Always", "Never"),
            pullSecrets=listing("Names of secrets for the registry.", {"type": "string"}),
        ),
        **servers(),
        **_shared(),
        gateway=service("The edge.", settings["gateway"], **_gateway()),
        retriever=service("Search.", settings["retriever"], autoscaling=_hpa()),
        reranker=service(
            "Reranking.", settings["reranker"], enabled=flag("Whether there is a reranker."), **_encoder()
        ),
        embedder=service("Embedding.", settings["embedder"], **_encoder()),
        ingest=closed(
            "Ingestion.",
            settings=settings["ingest"],
            vault=closed(
                "Keys of pseudonyms; needed where the privacy policy pseudonymises.",
                **credentials(
                    vaultKeys="Its key with the keys that seal the vault, one a line, the newest first.",
                    pseudonymKey="Its key with the key that pseudonyms are made by.",
                ),
            ),
            api=closed("Accepts changes.", **workload, autoscaling=_hpa()),
            worker=closed("Applies changes.", **workload, autoscaling=_lag_scaling()),
        ),
        admin=closed("Jobs of the chart.", **admin),
    )
    # Helm adds it to the values of every chart that is used as a dependency.
    root["properties"]["global"] = {"type": "object", "description": "Of a parent chart; not used."}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **root}

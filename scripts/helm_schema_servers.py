"""What the chart is told about the servers that it needs, and what it refuses to tell the services about them."""

from __future__ import annotations

from scripts.helm_schema_parts import Schema, choice, closed, count, credentials, egress, flag, name, needed, text


def servers() -> dict[str, Schema]:
    """Kafka, Elasticsearch, Weaviate, Redis and the object store."""
    return {
        "kafka": _kafka(),
        "elasticsearch": _server(
            "Lexical index, heads, records.",
            url=needed(
                "`http://host:port` or `https://…`; several, separated by commas. `https` with credentials.",
                pattern=r"^https?://[^\s]+$",
            ),
            prefix=text("Prefix of every index name.", pattern=r"^[a-z][a-z0-9-]{0,30}$"),
            shards=count("Shards of indexes that are created.", 1),
            replicas=count("Replicas of indexes that are created.", 0),
            **credentials(apiKey="Its key with the encoded API key."),
            ca=_ca(),
        )
        | _with_credentials(url={"pattern": r"^https://[^\s,]+(,https://[^\s,]+)*$"}),
        "weaviate": _server(
            "The vector index.",
            http=needed("`host:port` of its REST API.", pattern=r"^[^:/\s]+:\d+$"),
            grpc=needed("`host:port` of its gRPC API.", pattern=r"^[^:/\s]+:\d+$"),
            secure=flag("Whether both are served over TLS; true with credentials."),
            prefix=text("Prefix of every collection name.", pattern=r"^[A-Z][A-Za-z0-9]{0,30}$"),
            replicas=count("Replication factor of collections that are created.", 1),
            **credentials(apiKey="Its key with the API key."),
        )
        | _with_credentials(secure={"const": True}),
        "redis": _server(
            "Cache and token budgets that replicas share.",
            url=text(
                "`redis://host:port/db`, `rediss://` for TLS; none for a cache per pod. `rediss` with credentials.",
                pattern=r"^(rediss?://.+)?$",
            ),
            username=text("User name for AUTH."),
            **credentials(password="Its key with the password."),
            ca=_ca(),
        )
        | _with_credentials(url={"pattern": r"^(rediss://.+)?$"}),
        # Requests are signed: the secret key is not sent.
        "s3": _server(
            "Where documents' bytes are.",
            location=needed("`s3://bucket/prefix`.", pattern=r"^s3://.+$"),
            url=text("Its endpoint; empty for Amazon's own.", pattern=r"^(https?://.+)?$"),
            region=text("Its region."),
            **credentials(
                accessKeyId="Its key with the id of the access key.",
                secretAccessKey="Its key with the secret access key.",
            ),
        ),
    }


def _kafka() -> Schema:
    scram = ("SCRAM-SHA-256", "SCRAM-SHA-512")
    return _server(
        "The event log.",
        bootstrapServers=needed("`host:port,host:port`.", pattern=r"^[^,:\s]+:\d+(,[^,:\s]+:\d+)*$"),
        securityProtocol=choice(
            "Encryption and authentication, as Kafka names them.", "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"
        ),
        saslMechanism=choice("Mechanism of SASL; PLAIN with SASL_SSL only.", "PLAIN", *scram),
        username=text("User name for SASL."),
        replicationFactor=count("Replicas of topics that are created.", 1),
        prefix=text("Prefix of every topic and group name.", pattern="^[A-Za-z0-9._-]{0,60}$"),
        **credentials(password="Its key with the password."),
        ca=_ca(),
    ) | {
        "if": {"properties": {"securityProtocol": {"const": "SASL_PLAINTEXT"}}},
        "then": {"properties": {"saslMechanism": {"enum": list(scram)}}},
    }


def _server(description: str, **values: Schema) -> Schema:
    """A server that policies open the way to."""
    return closed(description, **values, egress=egress())


def _with_credentials(**needs: Schema) -> Schema:
    """What a server with credentials must be told besides: they never travel unencrypted."""
    named = {"properties": {"existingSecret": {"minLength": 1}}, "required": ["existingSecret"]}
    return {"if": named, "then": {"properties": needs}}


def _ca() -> Schema:
    return closed(
        "Authority that signed its certificate.",
        secret=name("Secret with the certificate of its authority; without one, the system's authorities count."),
        configMap=name("ConfigMap with it instead."),
        key=needed("Its key there."),
    )

{{/*
What is known about each component, once: environment, credentials, network edges and probes follow from it.

  service   which service it is
  settings  whose settings it reads, HEADWATER_<SERVICE>_…, where it is none itself
  health    name its gRPC health is asked by
  ready     name it is asked by whether it does its work, where that is another one: a halted worker is not restarted
  calls     components it calls; the reverse are the only callers that the network lets in
  engines   servers it is told about, holds credentials for and may reach
  key       issuer whose private identity key it may read
  proxy     what adds its contract to Ray Serve's gRPC proxy
  threads   whether it computes with as many threads as it has cores
*/}}
{{- define "headwater.facts" -}}
gateway:
  service: gateway
  health: headwater.gateway.v1.GatewayService
  calls: [retriever, embedder, ingest-api]
  engines: [elasticsearch, redis]
  key: gateway
retriever:
  service: retriever
  health: headwater.retrieval.v1.RetrievalService
  calls: [embedder, reranker]
  engines: [kafka, elasticsearch, weaviate, redis]
reranker:
  service: reranker
  health: headwater.rerank.v1.RerankService
  proxy: reranker.proxy.add_rerank
  threads: true
embedder:
  service: embedder
  health: headwater.embedding.v1.EmbeddingService
  proxy: embedder.proxy.add_embedding
  threads: true
ingest-api:
  service: ingest
  health: headwater.ingest.v1.IngestService
  # Rows that an audit finds missing are embedded where the audit runs.
  calls: [embedder]
  engines: [kafka, elasticsearch, weaviate, redis, s3]
  key: ingest
ingest-worker:
  service: ingest
  health: headwater.ingest.v1.IngestService
  ready: readiness
  calls: [embedder]
  engines: [kafka, elasticsearch, weaviate, redis, s3]
  key: ingest
admin-init:
  settings: ingest
  engines: [kafka, elasticsearch, weaviate, redis, s3]
identity: {}
{{- end -}}

{{- define "headwater.factsOf" -}}
{{- get (include "headwater.facts" . | fromYaml) .component | toYaml -}}
{{- end -}}

{{/* Settings of the servers and the files they need: by engine, the names of the settings, of the secrets, and whether
a server of that kind was named at all. */}}
{{- define "headwater.engines" -}}
{{- $v := .Values -}}
kafka:
  addresses: {{ $v.kafka.bootstrapServers | quote }}
  settings:
    bootstrap_servers: {{ $v.kafka.bootstrapServers | quote }}
    security_protocol: {{ $v.kafka.securityProtocol | quote }}
    sasl_mechanism: {{ $v.kafka.saslMechanism | quote }}
    username: {{ $v.kafka.username | quote }}
    replication_factor: {{ $v.kafka.replicationFactor | toString | quote }}
    prefix: {{ $v.kafka.prefix | quote }}
  secrets: {password: {{ $v.kafka.secretKeys.password | quote }}}
elasticsearch:
  addresses: {{ $v.elasticsearch.url | quote }}
  settings:
    url: {{ $v.elasticsearch.url | quote }}
    prefix: {{ $v.elasticsearch.prefix | quote }}
    shards: {{ $v.elasticsearch.shards | toString | quote }}
    replicas: {{ $v.elasticsearch.replicas | toString | quote }}
  secrets: {api_key: {{ $v.elasticsearch.secretKeys.apiKey | quote }}}
weaviate:
  addresses: {{ printf "%s,%s" $v.weaviate.http $v.weaviate.grpc | quote }}
  settings:
    http: {{ $v.weaviate.http | quote }}
    grpc: {{ $v.weaviate.grpc | quote }}
    secure: {{ $v.weaviate.secure | toString | quote }}
    prefix: {{ $v.weaviate.prefix | quote }}
    replicas: {{ $v.weaviate.replicas | toString | quote }}
  secrets: {api_key: {{ $v.weaviate.secretKeys.apiKey | quote }}}
redis:
  addresses: {{ $v.redis.url | quote }}
  settings:
    url: {{ $v.redis.url | quote }}
    username: {{ $v.redis.username | quote }}
  secrets: {password: {{ $v.redis.secretKeys.password | quote }}}
s3:
  addresses: {{ default "https://amazon" $v.s3.url | quote }}
  settings:
    location: {{ $v.s3.location | quote }}
    url: {{ $v.s3.url | quote }}
    region: {{ $v.s3.region | quote }}
  secrets:
    access_key_id: {{ $v.s3.secretKeys.accessKeyId | quote }}
    secret_access_key: {{ $v.s3.secretKeys.secretAccessKey | quote }}
{{- end -}}

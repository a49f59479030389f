"""Names of span attributes, in one place: OpenTelemetry's GenAI and RPC conventions, OpenInference's, and our own.

https://opentelemetry.io/docs/specs/semconv/gen-ai/ · https://opentelemetry.io/docs/specs/semconv/rpc/ ·
https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
"""

from typing import Final

# RPC
RPC_SYSTEM: Final = "rpc.system"
RPC_SERVICE: Final = "rpc.service"
RPC_METHOD: Final = "rpc.method"
RPC_GRPC_STATUS_CODE: Final = "rpc.grpc.status_code"
SERVER_ADDRESS: Final = "server.address"
ERROR_TYPE: Final = "error.type"

# Messaging (events)
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_PARTITION_ID: Final = "messaging.destination.partition.id"
MESSAGING_OFFSET: Final = "messaging.kafka.offset"
MESSAGING_CONSUMER_GROUP: Final = "messaging.consumer.group.name"

# Generative AI
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_DATA_SOURCE_ID: Final = "gen_ai.data_source.id"
GEN_AI_EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"

# OpenInference; the two that end in "content" and "value" hold text and go through set_content
OPENINFERENCE_SPAN_KIND: Final = "openinference.span.kind"
INPUT_VALUE: Final = "input.value"
OUTPUT_VALUE: Final = "output.value"
RETRIEVAL_DOCUMENTS: Final = "retrieval.documents"
DOCUMENT_ID: Final = "document.id"
DOCUMENT_SCORE: Final = "document.score"
DOCUMENT_CONTENT: Final = "document.content"
EMBEDDING_MODEL_NAME: Final = "embedding.model_name"
RERANKER_MODEL_NAME: Final = "reranker.model_name"
RERANKER_TOP_K: Final = "reranker.top_k"

# Ours
TENANT_ID: Final = "headwater.tenant_id"
DOCUMENT_VERSION: Final = "headwater.document.version"
CHANGE_KIND: Final = "headwater.change.kind"
GENERATION: Final = "headwater.generation"
ERROR_REASON: Final = "headwater.error.reason"
STAGE: Final = "headwater.stage"
LEG: Final = "headwater.leg"
DEGRADED: Final = "headwater.degraded"
HITS: Final = "headwater.hits"
QUESTION_CLASS: Final = "headwater.question.class"
SEARCHES: Final = "headwater.searches"
ROUTE_CONFIDENCE: Final = "headwater.route.confidence"
CANDIDATES: Final = "headwater.candidates"
CHUNKS: Final = "headwater.chunks"
CHUNKS_EMBEDDED: Final = "headwater.chunks.embedded"
TOKENS: Final = "headwater.tokens"
BATCH_SIZE: Final = "headwater.batch_size"
OUTCOME: Final = "headwater.outcome"
CACHE_HIT: Final = "headwater.cache.hit"
ADMISSION_WAIT_SECONDS: Final = "headwater.admission.wait_seconds"
QUEUE_WAIT_SECONDS: Final = "headwater.queue.wait_seconds"
CONFIDENCE: Final = "headwater.confidence"
ABSTAINED: Final = "headwater.abstained"
CITATIONS: Final = "headwater.citations"
ANSWER_ID: Final = "headwater.answer_id"

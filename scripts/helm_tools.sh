#!/usr/bin/env bash
# Puts pinned helm and kubeconform, built by Go, and the schemas of Kubernetes and of the custom resources the chart uses
# into the cache, and prints their directory. Takes minutes the first time, nothing afterwards.
#
#   scripts/helm_tools.sh            install what is missing
#   scripts/helm_tools.sh --present  install nothing: exit code 1 when something is missing
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${HEADWATER_CACHE_DIR:-$HOME/.cache/headwater}/tools"
helm=v3.19.2 kubeconform=v0.7.0 kubernetes=v1.34.4 keda=v2.18.1 kuberay=v1.5.1 prometheus_operator=v0.85.0
bin="$cache/helm-$helm-kubeconform-$kubeconform"
schemas="$cache/schemas-$kubernetes-$keda-$kuberay-$prometheus_operator"

if [ -x "$bin/helm" ] && [ -x "$bin/kubeconform" ] && [ -f "$schemas/complete" ]; then
  echo "$bin $schemas"
  exit
fi
[ "${1:-}" != --present ] || { echo "not installed: make helm" >&2; exit 1; }
mkdir -p "$bin" "$schemas"
exec 9>"$cache/.lock"
flock 9

build() { # NAME MODULE@VERSION
  [ -x "$bin/$1" ] && return
  command -v go >/dev/null || { echo "$1 is missing, and so is Go to build it: install Go 1.24 or newer" >&2; exit 1; }
  echo "building $1; once, some minutes" >&2
  GOBIN="$bin/.new" CGO_ENABLED=0 GOFLAGS=-trimpath nice go install -ldflags='-s -w' "$2" >&2
  mv "$bin/.new/$1" "$bin/$1"
}
build helm "helm.sh/helm/v3/cmd/helm@$helm"
build kubeconform "github.com/yannh/kubeconform/cmd/kubeconform@$kubeconform"

if [ ! -f "$schemas/complete" ]; then
  echo "writing schemas" >&2
  folder() { # MODULE@VERSION; from outside any module, so that nothing of ours decides about versions
    (cd "$cache" && go mod download -json "$1") | "${PYTHON:-python3}" -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
  }
  kubernetes_dir=$(folder "k8s.io/kubernetes@$kubernetes")
  keda_dir=$(folder "github.com/kedacore/keda/v2@$keda")
  kuberay_dir=$(folder "github.com/ray-project/kuberay/ray-operator@$kuberay")
  prometheus_dir=$(folder "github.com/prometheus-operator/prometheus-operator@$prometheus_operator")
  .venv/bin/python -m scripts.helm_crd_schemas "$schemas" \
    --openapi "$kubernetes_dir/api/openapi-spec/swagger.json" \
    --crds "$keda_dir"/config/crd/bases/keda.sh_{scaledobjects,triggerauthentications}.yaml \
    "$kuberay_dir"/config/crd/bases/ray.io_rayservices.yaml \
    "$prometheus_dir"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,prometheusrules}.yaml
  touch "$schemas/complete"
fi
echo "$bin $schemas"

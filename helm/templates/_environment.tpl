{{/* A component's settings as environment: a mapping of names to texts, and what comes from elsewhere. */}}
{{- define "headwater.env" -}}
{{- $v := .root.Values -}}
{{- $facts := include "headwater.factsOf" . | fromYaml -}}
{{- $env := dict "HEADWATER_PROFILE" "cluster" "HEADWATER_LOG_LEVEL" $v.telemetry.logLevel "HEADWATER_TRACE_FILES" "false" -}}
{{- $_ := set $env "HEADWATER_DATA_DIR" "/tmp/headwater" -}}
{{- if eq (.values.serving | default "") "ray" -}}
{{- $_ := set $env "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH" "chassis.rpc.serve_proxy.accept_our_limits" -}}
{{- $_ := set $env "RAY_USAGE_STATS_ENABLED" "0" -}}
{{- $_ := set $env "RAY_LOG_TO_STDERR" "1" -}}
{{- end -}}
{{- if $facts.service -}}
{{- $_ := set $env "HEADWATER_LISTEN" "0.0.0.0:7700" -}}
{{- $_ := set $env "HEADWATER_METRICS_LISTEN" "0.0.0.0:7710" -}}
{{- $_ := set $env "HEADWATER_MODEL_CACHE" "/tmp/headwater/models" -}}
{{- $_ := set $env "HEADWATER_DRAIN_SECONDS" (toString $v.termination.drainSeconds) -}}
{{- $_ := set $env "HEADWATER_INTERNAL_KEYS_DIR" "/etc/headwater/keys" -}}
{{- end -}}
{{- with $v.telemetry.otlpEndpoint -}}
{{- $_ := set $env "HEADWATER_OTLP_ENDPOINT" . -}}
{{- $_ := set $env "HEADWATER_TRACE_SAMPLE_RATIO" (toJson $v.telemetry.traceSampleRatio) -}}
{{- end -}}
{{- range $peer := $facts.calls -}}
{{- if or (ne $peer "reranker") $v.reranker.enabled -}}
{{- $_ := set $env (printf "HEADWATER_%s_TARGET" (trimSuffix "-api" $peer | upper)) (include "headwater.target" (dict "root" $.root "component" $peer)) -}}
{{- end -}}
{{- end -}}
{{- $engines := include "headwater.engines" .root | fromYaml -}}
{{- range $name := $facts.engines -}}
{{- range $key, $value := (get $engines $name).settings -}}
{{- if $value -}}
{{- $_ := set $env (printf "HEADWATER_%s__%s" (upper $name) (upper $key)) $value -}}
{{- end -}}
{{- end -}}
{{- $ca := (get $v $name).ca | default dict -}}
{{- if or $ca.secret $ca.configMap -}}
{{- $_ := set $env (printf "HEADWATER_%s__CA_FILE" (upper $name)) (printf "/etc/headwater/ca/%s.pem" $name) -}}
{{- end -}}
{{- end -}}
{{- if include "headwater.secretSources" . -}}
{{- $_ := set $env "HEADWATER_SECRETS_DIR" "/etc/headwater/secrets" -}}
{{- end -}}
{{- range $name, $value := include "headwater.ownSettings" . | fromYaml -}}
{{- $_ := set $env (printf "HEADWATER_%s_%s" (default $facts.service $facts.settings | upper) (upper $name)) $value -}}
{{- end -}}
{{- range $name, $value := $env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- include "headwater.threads" . }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What values say about one service: its `settings`, and what the chart knows better than they do. */}}
{{- define "headwater.ownSettings" -}}
{{- $v := .root.Values -}}
{{- $own := dict -}}
{{- range $name, $value := .settings | default .values.settings | default dict -}}
{{- $_ := set $own $name (kindIs "string" $value | ternary $value (toJson $value)) -}}
{{- end -}}
{{- if eq .component "gateway" -}}
{{- $auth := $v.gateway.auth -}}
{{- $_ := set $own "http_listen" "0.0.0.0:7780" -}}
{{- $_ := set $own "jwt_issuer" $auth.issuer -}}
{{- $_ := set $own "jwt_audience" $auth.audience -}}
{{- $_ := set $own "jwt_jwks" (default "/etc/headwater/issuer/jwks.json" $auth.jwksUrl) -}}
{{- with $v.gateway.openai.baseUrl -}}
{{- $_ := set $own "generator" "openai" -}}
{{- $_ := set $own "openai_base_url" . -}}
{{- $_ := set $own "openai_model" $v.gateway.openai.model -}}
{{- end -}}
{{- with $v.gateway.openai.second.baseUrl -}}
{{- $_ := set $own "openai_second_base_url" . -}}
{{- $_ := set $own "openai_second_model" $v.gateway.openai.second.model -}}
{{- end -}}
{{- else if hasPrefix "ingest-" .component -}}
{{- $_ := set $own "role" (trimPrefix "ingest-" .component) -}}
{{- with $v.embedder.settings.model -}}
{{- $_ := set $own "embedding_model" . -}}
{{- end -}}
{{- end -}}
{{- toYaml $own -}}
{{- end -}}

{{/* As many threads as the container was given cores; a quota is not seen from inside. */}}
{{- define "headwater.threads" -}}
{{- $facts := include "headwater.factsOf" . | fromYaml -}}
{{- $resources := .values.resources -}}
{{- if and $facts.threads (not (hasKey .values.settings "threads")) }}
{{- if eq .values.serving "ray" }}
- {name: HEADWATER_{{ upper $facts.service }}_THREADS, value: {{ ceil (max 1 .values.ray.replicaCpus) | toString | quote }}}
{{- else }}
{{- $from := ternary "limits" "requests" (hasKey ($resources.limits | default dict) "cpu") }}
{{- if hasKey (get $resources $from | default dict) "cpu" }}
- name: HEADWATER_{{ upper $facts.service }}_THREADS
  valueFrom: {resourceFieldRef: {containerName: {{ .component }}, resource: {{ $from }}.cpu}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Sources of the directory of secrets; empty when the component needs none. */}}
{{- define "headwater.secretSources" -}}
{{- $v := .root.Values -}}
{{- $facts := include "headwater.factsOf" . | fromYaml -}}
{{- $engines := include "headwater.engines" .root | fromYaml -}}
{{- range $name := $facts.engines -}}
{{- with (get $v $name).existingSecret }}
- secret:
    name: {{ . }}
    items:
      {{- range $file, $key := (get $engines $name).secrets }}
      - {key: {{ $key }}, path: {{ $name }}__{{ $file }}}
      {{- end }}
{{- end }}
{{- end }}
{{- if eq .component "gateway" }}
{{- with $v.gateway.openai.existingSecret }}
- secret:
    name: {{ . }}
    items: [{key: {{ $v.gateway.openai.secretKeys.apiKey }}, path: gateway_openai_api_key}]
{{- end }}
{{- with $v.gateway.openai.second.existingSecret }}
- secret:
    name: {{ . }}
    items: [{key: {{ $v.gateway.openai.second.secretKeys.apiKey }}, path: gateway_openai_second_api_key}]
{{- end }}
{{- else if hasPrefix "ingest-" .component }}
{{- with $v.ingest.vault.existingSecret }}
- secret:
    name: {{ . }}
    items:
      - {key: {{ $v.ingest.vault.secretKeys.vaultKeys }}, path: ingest_vault_keys}
      - {key: {{ $v.ingest.vault.secretKeys.pseudonymKey }}, path: ingest_pseudonym_key}
{{- end }}
{{- end }}
{{- end -}}

{{/* Certificates of authorities, one file per engine that names one. */}}
{{- define "headwater.caSources" -}}
{{- $facts := include "headwater.factsOf" . | fromYaml -}}
{{- range $name := $facts.engines -}}
{{- $ca := (get $.root.Values $name).ca | default dict -}}
{{- if or $ca.secret $ca.configMap }}
- {{ ternary "secret" "configMap" (not (empty $ca.secret)) }}:
    name: {{ default $ca.configMap $ca.secret }}
    items: [{key: {{ $ca.key }}, path: {{ $name }}.pem}]
{{- end }}
{{- end }}
{{- end -}}

{{/* A service's own private key, if it signs anything, and everybody's public keys. */}}
{{- define "headwater.keySources" -}}
{{- $facts := include "headwater.factsOf" . | fromYaml -}}
{{- with $facts.key }}
- secret:
    name: {{ include "headwater.identitySecret" (dict "root" $.root "issuer" .) }}
    items: [{key: {{ . }}.private.pem, path: {{ . }}.private.pem}]
{{- end }}
- secret:
    name: {{ include "headwater.identitySecret" (dict "root" .root "issuer" "jwks") }}
    items: [{key: jwks.json, path: jwks.json}]
{{- end -}}

{{- define "headwater.identitySecret" -}}
{{- get .root.Values.identity.existingSecrets .issuer | default (printf "%s-identity-%s" (include "headwater.fullname" .root) .issuer) -}}
{{- end -}}

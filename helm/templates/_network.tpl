{{/* Ports in a list of host:port or URLs, comma-separated: [{port: N}, …]. */}}
{{- define "headwater.portsOf" -}}
{{- $ports := list -}}
{{- range $address := splitList "," . -}}
{{- $address = trim $address -}}
{{- if $address -}}
{{- $port := regexFind "^([a-z]+://)?[^/]*:[0-9]+(/|$)" $address | regexFind ":[0-9]+(/|$)" | trimPrefix ":" | trimSuffix "/" -}}
{{- $default := get (dict "http" "80" "https" "443" "redis" "6379" "rediss" "6379") (regexFind "^[a-z]+" $address) -}}
{{- $ports = append $ports (atoi (default $default $port)) -}}
{{- end -}}
{{- end -}}
{{- toJson (uniq $ports) -}}
{{- end -}}

{{/* An egress rule to servers outside of the release: (dict "egress" {to, ports} "addresses" TEXT). */}}
{{- define "headwater.egressTo" -}}
- ports:
    {{- range $port := .egress.ports | default (include "headwater.portsOf" .addresses | fromJsonArray) }}
    - {protocol: TCP, port: {{ $port }}}
    {{- end }}
  {{- with .egress.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "headwater.peer" -}}
- podSelector:
    matchLabels:
      {{- include "headwater.selector" . | nindent 6 }}
{{- end -}}

{{/* Which edges a component has; everything else is denied by the release's own default. */}}
{{- define "headwater.networkPolicy" -}}
{{- if .root.Values.networkPolicy.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "headwater.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "headwater.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- with include "headwater.ingressRules" . | trim }}
  ingress: {{- . | nindent 4 }}
  {{- end }}
  egress: {{- include "headwater.egressRules" . | trim | nindent 4 }}
{{- end }}
{{- end -}}

{{- define "headwater.ingressRules" -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- $callers := list -}}
{{- range $name, $facts := include "headwater.facts" . | fromYaml -}}
{{- if has $.component ($facts.calls | default list) -}}
{{- $callers = append $callers $name -}}
{{- end -}}
{{- end -}}
{{- if and (eq .component "gateway") $policy.gatewayClients }}
- from:
    {{- toYaml $policy.gatewayClients | nindent 4 }}
  ports: [{protocol: TCP, port: 7700}, {protocol: TCP, port: 7780}]
{{- end }}
{{- if $callers }}
- from:
    {{- range $callers }}
    {{- include "headwater.peer" (dict "root" $.root "component" .) | nindent 4 }}
    {{- end }}
  ports: [{protocol: TCP, port: 7700}]
{{- end }}
{{- if and (include "headwater.factsOf" . | fromYaml).service $policy.prometheus }}
- from:
    {{- toYaml $policy.prometheus | nindent 4 }}
  ports: [{protocol: TCP, port: 7710}]
{{- end }}
{{- if eq (.values.serving | default "") "ray" }}
# Nodes of one Ray cluster talk to each other on ports of their choice; the operator asks their agents.
- from:
    {{- include "headwater.peer" . | nindent 4 }}
- from:
    {{- toYaml $policy.rayOperator | nindent 4 }}
  ports: [{protocol: TCP, port: 8265}, {protocol: TCP, port: 52365}, {protocol: TCP, port: 8000}]
{{- end }}
{{- with .values.extraIngress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "headwater.egressRules" -}}
{{- $v := .root.Values -}}
{{- $facts := include "headwater.factsOf" . | fromYaml -}}
{{- $engines := include "headwater.engines" .root | fromYaml -}}
- to:
    {{- toYaml $v.networkPolicy.dns | nindent 4 }}
  ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
{{- with $facts.calls }}
- to:
    {{- range . }}
    {{- include "headwater.peer" (dict "root" $.root "component" .) | nindent 4 }}
    {{- end }}
  ports: [{protocol: TCP, port: 7700}]
{{- end }}
{{- if eq (.values.serving | default "") "ray" }}
- to:
    {{- include "headwater.peer" . | nindent 4 }}
{{- end }}
{{- with $v.telemetry.otlpEndpoint }}
{{ include "headwater.egressTo" (dict "egress" $v.telemetry.egress "addresses" .) }}
{{- end }}
{{- range $name := $facts.engines }}
{{- $addresses := (get $engines $name).addresses }}
{{- if $addresses }}
{{ include "headwater.egressTo" (dict "egress" (get $v $name).egress "addresses" $addresses) }}
{{- end }}
{{- end }}
{{- if eq .component "gateway" }}
{{- with $v.gateway.auth.jwksUrl }}
{{ include "headwater.egressTo" (dict "egress" $v.gateway.auth.egress "addresses" .) }}
{{- end }}
{{- with $v.gateway.openai.baseUrl }}
{{ include "headwater.egressTo" (dict "egress" $v.gateway.openai.egress "addresses" .) }}
{{- end }}
{{- with $v.gateway.openai.second.baseUrl }}
{{ include "headwater.egressTo" (dict "egress" $v.gateway.openai.second.egress "addresses" .) }}
{{- end }}
{{- end }}
{{- with .values.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

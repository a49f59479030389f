{{/* What the pods of all components have in common; the caller adds containers. */}}
{{- define "headwater.podSpec" -}}
{{- $v := .root.Values -}}
automountServiceAccountToken: false
# Variables of the form HEADWATER_GATEWAY_SERVICE_HOST would be refused as unknown settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $v.podSecurity.runAsUser }}
  runAsGroup: {{ $v.podSecurity.runAsGroup }}
  fsGroup: {{ $v.podSecurity.runAsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {{ toJson .values.seccompProfile }}
{{- with $v.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" }}
{{- with get $.values $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "headwater.topologySpread" -}}
{{- if .values.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $.values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "headwater.selector" $ | nindent 8 }}
    # Old pods of a rolling update don't count.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end -}}

{{- define "headwater.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Image, environment and files of a component's container. */}}
{{- define "headwater.container" -}}
image: {{ include "headwater.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "headwater.containerSecurity" . | nindent 2 }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
env:
  {{- include "headwater.env" . | trim | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- range $name, $volume := include "headwater.files" . | fromYaml }}
  - {name: {{ $name }}, mountPath: /etc/headwater/{{ $name }}, readOnly: true}
  {{- end }}
{{- end -}}

{{/* Read-only directories below /etc/headwater, by name. Groups may read: the pod's group is the reader's, the owner is
root. */}}
{{- define "headwater.files" -}}
{{- with include "headwater.secretSources" . }}
secrets:
  projected:
    defaultMode: 0440
    sources: {{- . | nindent 6 }}
{{- end }}
{{- with include "headwater.caSources" . }}
ca:
  projected:
    sources: {{- . | nindent 6 }}
{{- end }}
{{- if (include "headwater.factsOf" . | fromYaml).service }}
keys:
  projected:
    defaultMode: 0440
    sources: {{- include "headwater.keySources" . | nindent 6 }}
{{- end }}
{{- if and (eq .component "gateway") .root.Values.gateway.auth.jwks }}
issuer:
  configMap: {name: {{ include "headwater.name" . }}-issuer}
{{- end }}
{{- end -}}

{{- define "headwater.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .values.tmpSize }}}
{{- range $name, $volume := include "headwater.files" . | fromYaml }}
- name: {{ $name }}
  {{- toYaml $volume | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The pod's identity towards Kubernetes, for the one container that mounts it. */}}
{{- define "headwater.token" -}}
projected:
  defaultMode: 0440
  sources:
    - serviceAccountToken: {path: token, expirationSeconds: 3600}
    - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
    - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end -}}

{{- define "headwater.podAnnotations" -}}
{{- $annotations := .values.podAnnotations | default dict -}}
{{- if and (eq .component "gateway") .root.Values.gateway.auth.jwks -}}
{{- $annotations = merge (dict "checksum/issuer" (sha256sum .root.Values.gateway.auth.jwks)) $annotations -}}
{{- end -}}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "headwater.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 42 | trimSuffix "-" }}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{ ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 42 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* Name of a component's objects. Takes (dict "root" $ "component" NAME), as all helpers below. */}}
{{- define "headwater.name" -}}
{{ include "headwater.fullname" .root }}-{{ .component }}
{{- end -}}

{{- define "headwater.releaseSelector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "headwater.selector" -}}
{{ include "headwater.releaseSelector" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Without what changes from release to release: of pod templates, which should restart only when they differ. */}}
{{- define "headwater.podLabels" -}}
{{ include "headwater.selector" . }}
app.kubernetes.io/part-of: headwater
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- with (.values | default dict).podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "headwater.releaseLabels" -}}
{{ include "headwater.releaseSelector" . }}
app.kubernetes.io/part-of: headwater
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "headwater.labels" -}}
{{ include "headwater.releaseLabels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The metadata of any object of a component. */}}
{{- define "headwater.metadata" -}}
name: {{ include "headwater.name" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "headwater.labels" . | nindent 2 }}
{{- end -}}

{{- define "headwater.image" -}}
{{- $image := .root.Values.image -}}
{{- $own := eq (.values.serving | default "") "ray" | ternary (.values.ray | default dict).image .values.image -}}
{{ printf "%s/%s:%s" $image.registry $own.name (coalesce $own.tag $image.tag .root.Chart.AppVersion) }}
{{- end -}}

{{/* Where a component is reached: every address of the headless Service, which the client balances over. */}}
{{- define "headwater.target" -}}
{{ printf "dns:///%s:7700" (include "headwater.name" .) }}
{{- end -}}

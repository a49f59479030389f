{{/* The objects of a component, each from (dict "root" $ "component" NAME "values" ITS VALUES). */}}
{{- define "headwater.deployment" -}}
{{- $facts := include "headwater.factsOf" . | fromYaml -}}
{{- $termination := .root.Values.termination -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "headwater.metadata" . | nindent 2 }}
spec:
  {{- if not .values.autoscaling.enabled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  # Capacity never falls below what was asked for.
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector:
    matchLabels:
      {{- include "headwater.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "headwater.podLabels" . | nindent 8 }}
      {{- with include "headwater.podAnnotations" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "headwater.name" . }}
      terminationGracePeriodSeconds: {{ include "headwater.graceSeconds" .root }}
      {{- include "headwater.podSpec" . | nindent 6 }}
      {{- with include "headwater.topologySpread" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          {{- include "headwater.container" . | nindent 10 }}
          ports:
            {{- range $name, $port := include "headwater.ports" . | fromYaml }}
            - {name: {{ $name }}, containerPort: {{ $port }}}
            {{- end }}
          # Models are prepared at the first start, which takes longest on a busy node.
          startupProbe: {grpc: {port: 7700, service: {{ $facts.health }}}, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 90}
          readinessProbe: {grpc: {port: 7700, service: {{ default $facts.health $facts.ready }}}, periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 2}
          livenessProbe: {grpc: {port: 7700, service: {{ $facts.health }}}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
          {{- with $termination.preStopSeconds }}
          # It serves on while balancers and name servers forget the pod; then SIGTERM, and the drain begins.
          lifecycle: {preStop: {sleep: {seconds: {{ . }}}}}
          {{- end }}
      volumes:
        {{- include "headwater.volumes" . | nindent 8 }}
{{- end -}}

{{- define "headwater.graceSeconds" -}}
{{- with .Values.termination -}}
{{ ceil (addf .preStopSeconds .drainSeconds .marginSeconds) }}
{{- end -}}
{{- end -}}

{{/* Ports of a component's pods, by name. */}}
{{- define "headwater.ports" -}}
{{- if ne .component "ingest-worker" }}
grpc: 7700
{{- end }}
{{- if eq .component "gateway" }}
http: 7780
{{- end }}
metrics: 7710
{{- end -}}

{{/* Headless, so that gRPC clients see every pod and balance their calls; the gateway's has an address of its own. */}}
{{- define "headwater.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "headwater.metadata" . | nindent 2 }}
  {{- with (.values.service | default dict).annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .values.service }}
  type: {{ .type }}
  {{- else }}
  clusterIP: None
  {{- end }}
  selector:
    {{- include "headwater.selector" . | nindent 4 }}
    {{- if eq (.values.serving | default "") "ray" }}
    # KubeRay's mark of pods whose Serve proxy takes traffic.
    ray.io/serve: "true"
    {{- end }}
  ports:
    {{- range $name, $port := include "headwater.ports" . | fromYaml }}
    - {name: {{ $name }}, port: {{ $port }}, targetPort: {{ $name }}{{ if ne $name "metrics" }}, appProtocol: {{ ternary "kubernetes.io/h2c" "http" (eq $name "grpc") }}{{ end }}}
    {{- end }}
{{- end -}}

{{- define "headwater.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "headwater.metadata" . | nindent 2 }}
  {{- with .values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}

{{- define "headwater.podDisruptionBudget" -}}
{{- if .values.podDisruptionBudget.enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "headwater.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  # A pod that is broken anyway must not keep a node from being emptied.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "headwater.selector" . | nindent 6 }}
{{- end }}
{{- end -}}

{{- define "headwater.horizontalPodAutoscaler" -}}
{{- if .values.autoscaling.enabled }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "headwater.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ include "headwater.name" . }}}
  minReplicas: {{ .values.autoscaling.minReplicas }}
  maxReplicas: {{ .values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ .values.autoscaling.cpuUtilization }}}}
  behavior:
    scaleUp: {stabilizationWindowSeconds: 0}
    scaleDown: {stabilizationWindowSeconds: 300}
{{- end }}
{{- end -}}

{{- define "headwater.serviceMonitor" -}}
{{- with .root.Values.monitoring }}
{{- if .serviceMonitors.enabled }}
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "headwater.metadata" $ | nindent 2 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "headwater.selector" $ | nindent 6 }}
  # Dashboards and rules know components by it.
  jobLabel: app.kubernetes.io/component
  endpoints:
    - {port: metrics, path: /metrics, interval: {{ .serviceMonitors.interval }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* A RayService whose replicas answer the same gRPC contract on the same port. The head schedules and serves nothing. */}}
{{- define "headwater.rayService" -}}
{{- $ray := .values.ray -}}
apiVersion: ray.io/v1
kind: RayService
metadata:
  {{- include "headwater.metadata" . | nindent 2 }}
spec:
  excludeHeadPodFromServeSvc: true
  serveConfigV2: |
    {{- include "headwater.serveConfig" . | nindent 4 }}
  rayClusterConfig:
    rayVersion: {{ .root.Values.ray.version | quote }}
    enableInTreeAutoscaling: true
    autoscalerOptions:
      upscalingMode: Default
      idleTimeoutSeconds: 300
      securityContext:
        {{- include "headwater.containerSecurity" . | nindent 8 }}
      # It starts and stops workers by asking Kubernetes, as no other container here may.
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
    headGroupSpec:
      rayStartParams: {dashboard-host: 0.0.0.0, num-cpus: "0", object-store-memory: {{ include "headwater.rayObjectBytes" . }}}
      template: {{- include "headwater.rayPod" (merge (dict "node" "head" "resources" $ray.headResources) .) | nindent 8 }}
    workerGroupSpecs:
      - groupName: replicas
        replicas: {{ $ray.minReplicas }}
        minReplicas: {{ $ray.minReplicas }}
        maxReplicas: {{ $ray.maxReplicas }}
        rayStartParams: {object-store-memory: {{ include "headwater.rayObjectBytes" . }}}
        template: {{- include "headwater.rayPod" (merge (dict "node" "worker" "resources" .values.resources) .) | nindent 10 }}
{{- end -}}

{{/* Bytes of Ray's object store, less than the volume it is in: by itself Ray takes 30 % of the memory, and /tmp where
/dev/shm is smaller than that. */}}
{{- define "headwater.rayObjectBytes" -}}"268435456"{{- end -}}

{{- define "headwater.serveConfig" -}}
{{- $facts := include "headwater.factsOf" . | fromYaml -}}
{{- $ray := .values.ray -}}
proxy_location: EveryNode
http_options: {host: 0.0.0.0, port: 8000}
grpc_options:
  port: 7700
  grpc_servicer_functions: [{{ $facts.proxy }}]
  request_timeout_s: {{ $ray.requestTimeoutSeconds }}
  enable_reflection: false
applications:
  - name: {{ .component }}
    import_path: {{ $facts.service }}.serve_app:app
    route_prefix: /{{ .component }}
    deployments:
      - name: {{ .component }}
        autoscaling_config:
          min_replicas: {{ $ray.minReplicas }}
          max_replicas: {{ $ray.maxReplicas }}
          target_ongoing_requests: {{ $ray.targetOngoingRequests }}
        max_queued_requests: {{ $ray.maxQueuedRequests }}
        graceful_shutdown_timeout_s: {{ .root.Values.termination.drainSeconds }}
        ray_actor_options: {num_cpus: {{ $ray.replicaCpus }}, num_gpus: {{ $ray.replicaGpus }}}
{{- end -}}

{{/* The way to Kubernetes' API for heads only, whose autoscaler asks it. KubeRay labels the pods. */}}
{{- define "headwater.rayHeadPolicy" -}}
{{- if .root.Values.networkPolicy.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "headwater.name" . }}-ray-head
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "headwater.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "headwater.selector" . | nindent 6 }}
      ray.io/node-type: head
  policyTypes: [Egress]
  egress:
    - ports: [{protocol: TCP, port: 443}, {protocol: TCP, port: 6443}]
{{- end }}
{{- end -}}

{{/* A pod of the Ray cluster: (dict … "node" "head"|"worker" "resources" …). Probes are our own, because KubeRay's call
programs that the images don't have. */}}
{{- define "headwater.rayPod" -}}
{{- $values := set (omit .values "resources") "resources" .resources -}}
{{- $scope := dict "root" .root "component" .component "values" $values -}}
metadata:
  labels:
    {{- include "headwater.podLabels" . | nindent 4 }}
  {{- with include "headwater.podAnnotations" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "headwater.name" . }}
  terminationGracePeriodSeconds: {{ include "headwater.graceSeconds" .root }}
  {{- include "headwater.podSpec" . | nindent 2 }}
  containers:
    - name: {{ .component }}
      {{- include "headwater.container" $scope | nindent 6 }}
        - {name: shm, mountPath: /dev/shm}
      ports:
        {{- if eq .node "head" }}
        - {name: gcs-server, containerPort: 6379}
        - {name: dashboard, containerPort: 8265}
        - {name: client, containerPort: 10001}
        {{- end }}
        - {name: grpc, containerPort: 7700}
        - {name: serve, containerPort: 8000}
        - {name: metrics, containerPort: 7710}
      {{- if eq .node "head" }}
      readinessProbe: {httpGet: {port: 8265, path: /api/gcs_healthz}, initialDelaySeconds: 10, periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 10}
      livenessProbe: {httpGet: {port: 8265, path: /api/gcs_healthz}, initialDelaySeconds: 30, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 12}
      {{- else }}
      readinessProbe: {httpGet: {port: 8000, path: /-/healthz}, periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 2}
      livenessProbe: {httpGet: {port: 52365, path: /api/local_raylet_healthz}, initialDelaySeconds: 30, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 12}
      {{- end }}
      {{- with .root.Values.termination.preStopSeconds }}
      lifecycle: {preStop: {sleep: {seconds: {{ . }}}}}
      {{- end }}
  volumes:
    {{- include "headwater.volumes" . | nindent 4 }}
    {{- if eq .node "head" }}
    - name: token
      {{- include "headwater.token" . | nindent 6 }}
    # KubeRay mounts it at /tmp/ray, for the autoscaler as well, and would make one without a limit.
    - name: ray-logs
      emptyDir: {sizeLimit: {{ .values.tmpSize }}}
    {{- end }}
    # Ray's object store; requests and answers pass through it only where they are large.
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: 512Mi}
{{- end -}}

{{- define "icehaul.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{- define "icehaul.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains (include "icehaul.name" .) .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "icehaul.name" .) | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "icehaul.selector" -}}
app.kubernetes.io/name: {{ include "icehaul.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "icehaul.labels" -}}
{{ include "icehaul.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "icehaul.image" -}}
{{- $image := .Values.image -}}
{{- $tagged := printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- if $image.digest }}{{ printf "%s@%s" $tagged $image.digest }}{{ else }}{{ $tagged }}{{ end -}}
{{- end -}}

{{- define "icehaul.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "icehaul.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "icehaul.config" -}}
{{- toYaml .Values.config -}}
{{- end -}}

{{/* Seconds for an orderly end: ten more than the longest deadline of the configuration. */}}
{{- define "icehaul.grace" -}}
{{- $consumer := default dict .Values.config.consumer -}}
{{- $shutdown := ceil (default 25 $consumer.shutdown_deadline_seconds) | int -}}
{{- $revoke := ceil (default 20 $consumer.revoke_deadline_seconds) | int -}}
{{- add (max $shutdown $revoke) 10 -}}
{{- end -}}

{{/* The ports of the servers that the configuration names, and those of networkPolicy.ports, each once. */}}
{{- define "icehaul.ports" -}}
{{- $ports := list (default 8123 .Values.config.clickhouse.port | int) -}}
{{- range splitList "," (default "127.0.0.1:9092" .Values.config.kafka.bootstrap_servers) -}}
{{- $ports = append $ports (splitList ":" . | last | trim | int) -}}
{{- end -}}
{{- $catalog := default dict .Values.config.catalog -}}
{{- $telemetry := default dict .Values.config.telemetry -}}
{{- range list (default "https://s3" .Values.config.store.endpoint) $catalog.uri $telemetry.otlp_endpoint -}}
{{- if . -}}
{{- $url := urlParse . -}}
{{- $parts := splitList ":" $url.host -}}
{{- if gt (len $parts) 1 -}}
{{- $ports = append $ports (last $parts | int) -}}
{{- else -}}
{{- $ports = append $ports (ternary 443 80 (eq $url.scheme "https")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.networkPolicy.ports -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
{{- $ports | uniq | sortAlpha | toJson -}}
{{- end -}}

{{- define "icehaul.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "icehaul.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "icehaul.mounts" -}}
- name: config
  mountPath: /etc/icehaul/icehaul.yaml
  subPath: icehaul.yaml
  readOnly: true
- name: scratch
  mountPath: /tmp
  subPath: tmp
- name: scratch
  mountPath: /var/lib/icehaul
  subPath: home
{{- if .Values.certificates }}
- name: certificates
  mountPath: /etc/icehaul/certificates
  readOnly: true
{{- end }}
{{- end -}}

{{- define "icehaul.certificates" -}}
{{- if .Values.certificates -}}
- name: certificates
  configMap:
    name: {{ .Values.certificates }}
{{- end -}}
{{- end -}}

{{- define "icehaul.probes" -}}
startupProbe:
  httpGet: {path: /startupz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 4
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 15
  timeoutSeconds: 10
  failureThreshold: 2
{{- end -}}

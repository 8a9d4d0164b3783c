{{/* What every pod of the chart has in common. */}}

{{- define "expunge.name" -}}
{{- .Release.Name | trunc 30 | trimSuffix "-" -}}
{{- end -}}

{{- define "expunge.labels" -}}
app.kubernetes.io/name: expunge
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "expunge.selector" -}}
app.kubernetes.io/name: expunge
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* No token of the cluster, no rights, and no variables of other Services: PREFECT_PORT would be one. */}}
{{- define "expunge.pod" -}}
serviceAccountName: {{ include "expunge.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "expunge.container" -}}
image: {{ .Values.image.name | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "expunge.environment" -}}
- {name: EXPUNGE_ACTOR, value: {{ .Values.actor | quote }}}
- {name: EXPUNGE_BUCKET, value: {{ .Values.servers.bucket | quote }}}
- {name: EXPUNGE_RETENTION_DAYS, value: {{ .Values.retentionDays | quote }}}
- {name: PREFECT_API_URL, value: {{ .Values.servers.prefect | quote }}}
- {name: MLFLOW_TRACKING_URI, value: {{ .Values.servers.mlflow | quote }}}
- {name: AWS_ENDPOINT_URL_S3, value: {{ .Values.servers.s3 | quote }}}
- {name: AWS_DEFAULT_REGION, value: {{ .Values.servers.region | quote }}}
{{- range $variable, $reference := .Values.secrets }}
{{- with $reference }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef: {name: {{ .name }}, key: {{ .key | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* What all machines of a Ray cluster have: no usage is reported, and the home is each one's own. */}}
{{- define "expunge.rayenvironment" -}}
{{ include "expunge.environment" . }}
- {name: RAY_USAGE_STATS_ENABLED, value: "0"}
{{- end -}}

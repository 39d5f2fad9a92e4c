{{/* What the schema cannot say in words that people understand: values that contradict each other. */}}
{{- define "headway.checks" -}}
{{- $storage := .Values.defaultStorage -}}
{{- $claim := $storage.persistentVolumeClaim -}}
{{- if and $storage.uri $claim.name -}}
{{- fail "set defaultStorage.uri or defaultStorage.persistentVolumeClaim.name, not both" -}}
{{- end -}}
{{- if and $storage.secretName (not $storage.uri) -}}
{{- fail "defaultStorage.secretName needs defaultStorage.uri: only an object store asks for credentials" -}}
{{- end -}}
{{- if and $claim.path (not $claim.name) -}}
{{- fail "defaultStorage.persistentVolumeClaim.path needs defaultStorage.persistentVolumeClaim.name" -}}
{{- end -}}
{{- if and $claim.create.namespaces (not $claim.name) -}}
{{- fail "defaultStorage.persistentVolumeClaim.create.namespaces needs defaultStorage.persistentVolumeClaim.name" -}}
{{- end -}}
{{- range include "headway.closedNamespaces" . | fromJsonArray -}}
{{- if has . $.Values.watchNamespaces -}}
{{- fail (printf "watchNamespaces names %s: no job runs in a namespace of the cluster's or in the operator's own" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

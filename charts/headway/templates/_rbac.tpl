{{/*
What the operator may do, each verb with its reason. Nothing here lists Secrets, changes a pod, or touches a namespace,
a node or a CustomResourceDefinition. Of what may be created and deleted here, _limits.tpl lets through a part.
*/}}

{{/* In all namespaces, or in each of watchNamespaces. */}}
{{- define "headway.jobRules" -}}
# The jobs: watched, read afresh after a conflict, deleted when ttlSecondsAfterFinished is over.
- apiGroups: [headway.dev]
  resources: [trainingjobs]
  verbs: [get, list, watch, delete]
# One write of the status at the end of each look at a job.
- apiGroups: [headway.dev]
  resources: [trainingjobs/status]
  verbs: [patch]
# The deployments of models: watched, read afresh after a conflict.
- apiGroups: [headway.dev]
  resources: [modeldeployments]
  verbs: [get, list, watch]
# One write of the status at the end of each look at a deployment.
- apiGroups: [headway.dev]
  resources: [modeldeployments/status]
  verbs: [patch]
# A version's Deployment: made, watched for readiness, patched in its number of replicas alone, deleted when the version goes.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# A deployment's autoscaler, where its spec asks for one: made, watched, patched as the spec is, deleted without it.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# Of a version's pods one at a time may be evicted.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, delete]
# A job's pods: made, watched for readiness and exit codes, deleted when the attempt or the job ends; get tells whether
# a pod that already has the name is ours, here and below.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
# An attempt's ConfigMap: made, watched for progress, deleted with the attempt; and that of a deployment's rollouts, which is
# watched for its judge's verdicts, and patched: which version gets which part of the requests stands in it.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
# An attempt's Ray token: made, and deleted to fence the attempt off; and what the servers and the judge of a deployment know
# each other by; never listed or watched.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, delete]
# The name under which workers find the head; and a deployment's Services, which are watched, and of which the clients' is
# patched: its selector is the version that answers.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
# Only a job's own pods may talk to its pods, and servers are reached by their own ports alone.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create, delete]
# Where the cluster serves PodGroups: an attempt's pods are scheduled all or none; deleted with the attempt.
- apiGroups: [scheduling.k8s.io]
  resources: [podgroups]
  verbs: [get, create, delete]
# The head pods' account in each namespace with jobs, the judges' in each with rollouts, and their bindings; those that are
# there already are left as they are, and they stay when a job or a deployment goes.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  verbs: [create]
# Those accounts may be bound to these roles, and to no others.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [headway-judge, headway-trainer]
  verbs: [bind]
{{- if .Values.gatewayApi.enabled }}
# A deployment's routes, where its spec asks for them: made, watched for what gateways say of them, patched as spec and shares
# are, deleted without it.
- apiGroups: [gateway.networking.k8s.io]
  resources: [grpcroutes, httproutes]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- if .Values.kserve.enabled }}
# A version's InferenceService, where its spec has KServe make the pods: made, watched for what KServe says of it, patched in its
# number of replicas alone, deleted when the version goes.
- apiGroups: [serving.kserve.io]
  resources: [inferenceservices]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
# What a person should know of a job; and whether an autoscaler makes a node for a pod that waits, which only its Events
# say.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, list]
{{- end -}}

{{/* In the release's namespace. */}}
{{- define "headway.leaderRules" -}}
# The one Lease that says which replica works.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "headway.fullname" . }}]
  verbs: [get, update]
# Names cannot be held to anything on creation.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
{{- end -}}

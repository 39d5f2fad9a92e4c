{{/*
What RBAC cannot say of the operator's account: which objects it may create and delete. Each entry becomes a
ValidatingAdmissionPolicy of its own, so that the API server checks each expression against the types that it meets.
*/}}

{{/* The kinds of the chart, as a list: whatever owns objects that the operator makes. */}}
{{- define "headway.kinds" -}}
{{- $kinds := list -}}
{{- range $path, $_ := .Files.Glob "files/crds/*.yaml" -}}
{{- $kinds = append $kinds ($.Files.Get $path | fromYaml).spec.names.kind -}}
{{- end -}}
{{- toJson $kinds -}}
{{- end -}}

{{/* Where no job runs, as a list: what is the cluster's own, and the operator's. */}}
{{- define "headway.closedNamespaces" -}}
{{- list "kube-system" "kube-public" "kube-node-lease" .Release.Namespace | toJson -}}
{{- end -}}

{{/* A validation of variables.pod, the spec of a server's pods, and of variables.containers. */}}
{{- define "headway.restricted" -}}
- expression: >-
    variables.pod.?securityContext.?runAsNonRoot.orValue(false) &&
    !variables.pod.?securityContext.?windowsOptions.?hostProcess.orValue(false) &&
    variables.pod.?securityContext.?seccompProfile.?type.orValue('') == 'RuntimeDefault' &&
    variables.containers.all(container,
      !container.?securityContext.?privileged.orValue(false) &&
      !container.?securityContext.?windowsOptions.?hostProcess.orValue(false) &&
      !container.?securityContext.?allowPrivilegeEscalation.orValue(true) &&
      container.?securityContext.?runAsNonRoot.orValue(true) &&
      container.?securityContext.?capabilities.?drop.orValue([]).exists(capability, capability == 'ALL') &&
      container.?securityContext.?capabilities.?add.orValue([]).size() == 0)
  message: servers are held to the restricted Pod Security standard
  reason: Forbidden
{{- end -}}

{{- define "headway.limits" -}}
{{- $owned := include "headway.kinds" . -}}
{{- $kinds := $owned | fromJsonArray | join " or " -}}
{{- $closed := include "headway.closedNamespaces" . -}}
# A tenant's job makes nothing where the cluster, or the operator itself, lives: not even if it may be created there.
objects:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods, configmaps, secrets, services]}
    - {operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}
    - {operations: [CREATE], apiGroups: [policy], apiVersions: [v1], resources: [poddisruptionbudgets]}
    - {operations: [CREATE], apiGroups: [networking.k8s.io], apiVersions: [v1], resources: [networkpolicies]}
    - {operations: [CREATE], apiGroups: [scheduling.k8s.io], apiVersions: [v1beta1], resources: [podgroups]}
    - {operations: [CREATE], apiGroups: [autoscaling], apiVersions: [v2], resources: [horizontalpodautoscalers]}
    {{- if .Values.gatewayApi.enabled }}
    - {operations: [CREATE], apiGroups: [gateway.networking.k8s.io], apiVersions: [v1], resources: [httproutes, grpcroutes]}
    {{- end }}
    {{- if .Values.kserve.enabled }}
    - {operations: [CREATE], apiGroups: [serving.kserve.io], apiVersions: [v1beta1], resources: [inferenceservices]}
    {{- end }}
  validations:
  - expression: >-
      !(request.namespace in {{ $closed }})
    messageExpression: >-
      'no {{ $kinds }} runs in the namespace ' + request.namespace + ', which is the cluster\'s or the operator\'s: use another'
    reason: Forbidden
  - expression: >-
      object.metadata.?ownerReferences.orValue([]).exists(owner,
        owner.?controller.orValue(false) && owner.apiVersion.startsWith('headway.dev/') && owner.kind in {{ $owned }} &&
        (object.metadata.name.startsWith(owner.name + '-') ||
          (owner.kind == 'ModelDeployment' && object.metadata.name == owner.name && request.resource.resource == 'services')) &&
        has(object.metadata.labels) && 'app.kubernetes.io/managed-by' in object.metadata.labels &&
        object.metadata.labels['app.kubernetes.io/managed-by'] == 'headway' &&
        object.metadata.labels.exists(key, key.startsWith('headway.dev/') && key.endsWith('-uid') &&
          object.metadata.labels[key] == owner.uid))
    message: the operator creates only objects that a {{ $kinds }} controls, with its name, its uid and Headway's labels
    reason: Forbidden
# A Secret of another type may be a key to an account: the API server fills a service account's in by itself.
secrets:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [secrets]}
  validations:
  - expression: "object.?type.orValue('Opaque') == 'Opaque'"
    message: the operator creates only Secrets of type Opaque
    reason: Forbidden
# Pods that take hold of their node, or of somebody else's account, would hand the cluster to whoever has the operator's.
pods:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}
  variables:
  - name: containers
    expression: object.spec.containers + object.spec.?initContainers.orValue([])
  validations:
  {{- if not (has "*" .Values.trainer.serviceAccounts) }}
  - expression: >-
      object.spec.?serviceAccountName.orValue('default') in
      {{ concat (list "" "default" "headway-trainer") .Values.trainer.serviceAccounts | toJson }}
    messageExpression: >-
      'pods of jobs may not run as the ServiceAccount ' + object.spec.serviceAccountName +
      ': the chart\'s trainer.serviceAccounts does not name it'
    reason: Forbidden
  {{- end }}
  {{- if not .Values.trainer.hostAccess }}
  - expression: >-
      !object.spec.?hostNetwork.orValue(false) && !object.spec.?hostPID.orValue(false) &&
      !object.spec.?hostIPC.orValue(false) &&
      object.spec.?volumes.orValue([]).all(volume, !has(volume.hostPath)) &&
      variables.containers.all(container,
        container.?ports.orValue([]).all(port, port.?hostPort.orValue(0) == 0))
    message: >-
      pods of jobs may not use their node's network, processes, ports or files (hostNetwork, hostPID, hostIPC, hostPort,
      hostPath): the chart's trainer.hostAccess is false
    reason: Forbidden
  - expression: >-
      !object.spec.?securityContext.?windowsOptions.?hostProcess.orValue(false) &&
      object.spec.?securityContext.?seLinuxOptions.?type.orValue('') in
        ['', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t'] &&
      variables.containers.all(container,
        !container.?securityContext.?privileged.orValue(false) &&
        !container.?securityContext.?windowsOptions.?hostProcess.orValue(false) &&
        container.?securityContext.?seLinuxOptions.?type.orValue('') in
          ['', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t'] &&
        container.?securityContext.?capabilities.?add.orValue([]).all(capability, capability in [
          'AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE', 'SETFCAP',
          'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT']))
    message: >-
      pods of jobs may not be privileged, nor have capabilities or SELinux types beyond the baseline Pod Security
      standard: the chart's trainer.hostAccess is false
    reason: Forbidden
  {{- end }}
# What the pods of a Deployment are, its controller makes with rights of its own: they have none that a server needs not.
deployments:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE, UPDATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}
  variables:
  - name: pod
    expression: object.spec.template.spec
  - name: containers
    expression: variables.pod.containers + variables.pod.?initContainers.orValue([])
  - name: owner
    expression: object.metadata.?ownerReferences.orValue([]).filter(owner, owner.?controller.orValue(false))
  # The name of the judge's Deployment, and of the Secret that it and servers know each other by.
  - name: judge
    expression: >-
      variables.owner.size() == 1 && variables.owner[0].uid.size() >= 5
      ? variables.owner[0].name + '-' + variables.owner[0].uid.substring(0, 5) + '-judge' : ''
  validations:
  - expression: >-
      object.spec.selector.?matchLabels.orValue({}).exists(key, key.startsWith('headway.dev/') && key.endsWith('-uid') &&
        object.metadata.?ownerReferences.orValue([]).exists(owner, owner.?controller.orValue(false) &&
          owner.kind == 'ModelDeployment' && owner.apiVersion.startsWith('headway.dev/') &&
          owner.uid == object.spec.selector.matchLabels[key]))
    message: the operator creates and changes only Deployments that a ModelDeployment controls, for the pods of their owner
    reason: Forbidden
  - expression: >-
      (object.metadata.name == variables.judge
        ? variables.pod.?serviceAccountName.orValue('') == 'headway-judge' && object.spec.?replicas.orValue(1) <= 1
        : variables.pod.?serviceAccountName.orValue('default') in ['', 'default'] &&
          !variables.pod.?automountServiceAccountToken.orValue(true)) &&
      !variables.pod.?hostNetwork.orValue(false) && !variables.pod.?hostPID.orValue(false) &&
      !variables.pod.?hostIPC.orValue(false) &&
      variables.pod.?volumes.orValue([]).all(volume, has(volume.emptyDir) || (has(volume.persistentVolumeClaim) &&
        (volume.name == 'records' || volume.persistentVolumeClaim.?readOnly.orValue(false))) || (has(volume.secret) &&
        (volume.secret.?secretName.orValue('') == variables.judge || volume.name == 'credentials' ||
          (object.metadata.name == variables.judge && volume.name.startsWith('query-'))))) &&
      variables.pod.containers.all(container,
        container.?volumeMounts.orValue([]).all(mount, mount.name != 'credentials')) &&
      variables.containers.all(container, container.?ports.orValue([]).all(port, port.?hostPort.orValue(0) == 0))
    message: >-
      servers have no account's token, nothing of their node, and no volume but models to read, records to write, the
      Secret of their deployment's rollouts and room of their own (credentials are for what fetches a model before them
      alone); its judge is one pod of the account headway-judge, and has the Secrets of its queries, too
    reason: Forbidden
  {{- include "headway.restricted" . | nindent 2 }}
  # The Deployment that is there may be changed in its number of replicas, and in nothing else.
  - expression: >-
      request.operation == 'CREATE' || (object.spec.template == oldObject.spec.template &&
        object.spec.selector == oldObject.spec.selector &&
        object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences &&
        object.metadata.?labels == oldObject.metadata.?labels)
    message: the operator changes of a Deployment only the number of its replicas
    reason: Forbidden
# Of what operator and judge write to each other the operator's part, and nothing of anybody else's.
configmaps:
  matchConstraints:
    resourceRules:
    - {operations: [UPDATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}
  variables:
  - name: data
    expression: "has(object.data) ? object.data : {}"
  - name: oldData
    expression: "has(oldObject.data) ? oldObject.data : {}"
  validations:
  - expression: >-
      oldObject.metadata.?ownerReferences.orValue([]).exists(owner, owner.?controller.orValue(false) &&
        owner.apiVersion.startsWith('headway.dev/') && owner.kind == 'ModelDeployment')
    message: the operator changes only ConfigMaps that a ModelDeployment controls
    reason: Forbidden
  - expression: >-
      variables.data.all(key, key == 'route.json' ||
        (key in variables.oldData && variables.data[key] == variables.oldData[key])) &&
      variables.oldData.all(key, key in variables.data) &&
      object.?binaryData == oldObject.?binaryData &&
      object.?immutable == oldObject.?immutable &&
      object.metadata.?labels == oldObject.metadata.?labels &&
      object.metadata.?annotations == oldObject.metadata.?annotations &&
      object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences &&
      object.metadata.?finalizers == oldObject.metadata.?finalizers
    message: the operator changes of a ConfigMap only data["route.json"]
    reason: Forbidden
# An autoscaler acts with rights of its own on whatever it names: its owner alone.
autoscalers:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE, UPDATE], apiGroups: [autoscaling], apiVersions: [v2], resources: [horizontalpodautoscalers]}
  validations:
  - expression: >-
      object.metadata.?ownerReferences.orValue([]).exists(owner, owner.?controller.orValue(false) &&
        owner.apiVersion.startsWith('headway.dev/') && owner.kind == 'ModelDeployment' &&
        object.spec.scaleTargetRef.kind == owner.kind && object.spec.scaleTargetRef.name == owner.name &&
        object.spec.scaleTargetRef.?apiVersion.orValue('') == owner.apiVersion)
    message: the operator creates and changes only HorizontalPodAutoscalers of a ModelDeployment that scale their owner
    reason: Forbidden
  - expression: >-
      request.operation == 'CREATE' || (object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences &&
        object.metadata.?labels == oldObject.metadata.?labels)
    message: the operator changes of a HorizontalPodAutoscaler only by what it scales
    reason: Forbidden
{{- if .Values.gatewayApi.enabled }}
# A route draws traffic from outside: only to its owner's own Services. Filters are those that splitting asks for, and those that
# a webhook may add to each route, as for authentication: it is done before this is looked at, with each write of the operator's.
routes:
  matchConstraints:
    resourceRules:
    - operations: [CREATE, UPDATE]
      apiGroups: [gateway.networking.k8s.io]
      apiVersions: [v1]
      resources: [httproutes, grpcroutes]
  variables:
  - name: owners
    expression: >-
      object.metadata.?ownerReferences.orValue([]).filter(owner, owner.?controller.orValue(false) &&
        owner.apiVersion.startsWith('headway.dev/') && owner.kind == 'ModelDeployment')
  - name: own
    expression: "variables.owners.size() == 1 ? variables.owners[0].name : ''"
  - name: versions
    expression: >-
      variables.own != '' && variables.owners[0].uid.size() >= 5
      ? variables.own + '-' + variables.owners[0].uid.substring(0, 5) + '-' : ''
  validations:
  - expression: >-
      variables.own != '' && object.metadata.name == variables.own + '-route' &&
      object.spec.?rules.orValue([]).all(rule, rule.?backendRefs.orValue([]).all(backend,
        backend.?kind.orValue('Service') == 'Service' && backend.?group.orValue('') == '' && !has(backend.namespace) &&
        (backend.name == variables.own || backend.name.matches('^' + variables.versions + '[1-9][0-9]*$'))))
    message: the operator creates and changes only routes of a ModelDeployment that lead to their owner's Services
    reason: Forbidden
  - expression: >-
      object.spec.?rules.orValue([]).all(rule,
        rule.?filters.orValue([]).all(filter,
          filter.type in ['URLRewrite', 'RequestHeaderModifier', 'ResponseHeaderModifier', 'ExtensionRef']) &&
        rule.?backendRefs.orValue([]).all(backend, backend.?filters.orValue([]).size() == 0))
    message: the operator makes no routes that send requests elsewhere, or copies of them
    reason: Forbidden
  - expression: >-
      request.operation == 'CREATE' || (object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences &&
        object.metadata.?labels == oldObject.metadata.?labels)
    message: the operator changes of a route only its spec
    reason: Forbidden
{{- end }}
{{- if .Values.kserve.enabled }}
# What KServe makes of an InferenceService it makes with rights of its own: pods of the operator's servers, and nothing else.
inferenceservices:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE, UPDATE], apiGroups: [serving.kserve.io], apiVersions: [v1beta1], resources: [inferenceservices]}
  variables:
  - name: pod
    expression: object.spec.predictor
  - name: containers
    expression: variables.pod.?containers.orValue([]) + variables.pod.?initContainers.orValue([])
  - name: oldContainers
    expression: oldObject.spec.predictor.?containers.orValue([]) + oldObject.spec.predictor.?initContainers.orValue([])
  - name: owner
    expression: object.metadata.?ownerReferences.orValue([]).filter(owner, owner.?controller.orValue(false))
  - name: judge
    expression: >-
      variables.owner.size() == 1 && variables.owner[0].uid.size() >= 5
      ? variables.owner[0].name + '-' + variables.owner[0].uid.substring(0, 5) + '-judge' : ''
  validations:
  - expression: >-
      variables.owner.size() == 1 && variables.owner[0].kind == 'ModelDeployment' &&
      variables.owner[0].apiVersion.startsWith('headway.dev/') &&
      variables.pod.?labels.orValue({}).exists(key, key.startsWith('headway.dev/') && key.endsWith('-uid') &&
        variables.pod.labels[key] == variables.owner[0].uid)
    message: the operator creates and changes only InferenceServices that a ModelDeployment controls, for the pods of their owner
    reason: Forbidden
  - expression: >-
      !has(object.spec.transformer) && !has(object.spec.explainer) && !has(object.spec.canary) &&
      !variables.pod.exists(key, key in ['model', 'workerSpec', 'sklearn', 'xgboost', 'tensorflow', 'pytorch', 'triton',
        'onnx', 'huggingface', 'pmml', 'lightgbm', 'paddle', 'storageUris']) &&
      variables.pod.?containers.orValue([]).size() == 1 && variables.pod.containers[0].name == 'kserve-container' &&
      variables.containers.all(container, container.?env.orValue([]).all(variable, variable.name != 'STORAGE_URI'))
    message: the operator creates and changes only InferenceServices of one container of its own, for which KServe fetches nothing
    reason: Forbidden
  - expression: >-
      variables.pod.?serviceAccountName.orValue('default') in ['', 'default'] &&
      !variables.pod.?automountServiceAccountToken.orValue(true) &&
      !variables.pod.?hostNetwork.orValue(false) && !variables.pod.?hostPID.orValue(false) &&
      !variables.pod.?hostIPC.orValue(false) &&
      variables.pod.?volumes.orValue([]).all(volume, has(volume.emptyDir) || (has(volume.persistentVolumeClaim) &&
        (volume.name == 'records' || volume.persistentVolumeClaim.?readOnly.orValue(false))) || (has(volume.secret) &&
        (volume.secret.?secretName.orValue('') == variables.judge || volume.name == 'credentials'))) &&
      variables.pod.containers.all(container,
        container.?volumeMounts.orValue([]).all(mount, mount.name != 'credentials')) &&
      variables.containers.all(container, container.?ports.orValue([]).all(port, port.?hostPort.orValue(0) == 0))
    message: >-
      servers have no account's token, nothing of their node, and no volume but models to read, records to write, the
      Secret of their deployment's rollouts and room of their own (credentials are for what fetches a model before them
      alone)
    reason: Forbidden
  {{- include "headway.restricted" . | nindent 2 }}
  # The operator changes the number of replicas. KServe's webhook may fill in defaults of its own on the way, and calls the mode
  # RawDeployment by its newer name; what the pods run and whose they are stays.
  - expression: >-
      object.metadata.?annotations['serving.kserve.io/deploymentMode'].orValue('') in ['RawDeployment', 'Standard'] &&
      (request.operation == 'CREATE' || (
        variables.containers.map(container, [container.name, container.image]) ==
          variables.oldContainers.map(container, [container.name, container.image]) &&
        variables.containers.map(container, [container.?command.orValue([]), container.?args.orValue([])]) ==
          variables.oldContainers.map(container, [container.?command.orValue([]), container.?args.orValue([])]) &&
        object.spec.predictor.?volumes == oldObject.spec.predictor.?volumes &&
        object.spec.predictor.?labels == oldObject.spec.predictor.?labels &&
        object.spec.predictor.?annotations == oldObject.spec.predictor.?annotations &&
        object.metadata.?annotations.orValue({}).all(key, key == 'serving.kserve.io/deploymentMode' ||
          oldObject.metadata.?annotations[key].orValue('') == object.metadata.annotations[key]) &&
        object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences &&
        object.metadata.?labels == oldObject.metadata.?labels))
    message: the operator changes of an InferenceService only the number of its replicas
    reason: Forbidden
{{- end }}
# An eviction that nothing may refuse to, or that nobody may carry out, is another's to decide.
poddisruptionbudgets:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE], apiGroups: [policy], apiVersions: [v1], resources: [poddisruptionbudgets]}
  validations:
  - expression: >-
      object.spec.?selector.?matchLabels.orValue({}).exists(key, key.startsWith('headway.dev/') && key.endsWith('-uid') &&
        object.metadata.?ownerReferences.orValue([]).exists(owner, owner.uid == object.spec.selector.matchLabels[key]))
    message: the operator creates only PodDisruptionBudgets for the pods of their owner
    reason: Forbidden
# A Service can draw traffic that is meant for others: by addresses of its own, or by pods that are not the owner's.
services:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE, UPDATE], apiGroups: [""], apiVersions: [v1], resources: [services]}
  validations:
  - expression: >-
      object.spec.?type.orValue('ClusterIP') == 'ClusterIP' && object.spec.?externalIPs.orValue([]).size() == 0 &&
      object.spec.?selector.orValue({}).exists(key, key.startsWith('headway.dev/') && key.endsWith('-uid') &&
        object.metadata.?ownerReferences.orValue([]).exists(owner, owner.uid == object.spec.selector[key]))
    message: the operator creates only Services of type ClusterIP for the pods of their owner, without addresses from outside
    reason: Forbidden
  - expression: >-
      request.operation == 'CREATE' || (
        oldObject.metadata.?ownerReferences.orValue([]).exists(owner, owner.?controller.orValue(false) &&
          owner.apiVersion.startsWith('headway.dev/') && owner.kind == 'ModelDeployment') &&
        object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences &&
        object.metadata.?labels == oldObject.metadata.?labels)
    message: the operator changes only Services that a ModelDeployment controls, and not whose they are
    reason: Forbidden
# A NetworkPolicy opens and closes pods: only the owner's.
networkpolicies:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE], apiGroups: [networking.k8s.io], apiVersions: [v1], resources: [networkpolicies]}
  validations:
  - expression: >-
      object.spec.podSelector.?matchLabels.orValue({}).exists(key, key.startsWith('headway.dev/') && key.endsWith('-uid') &&
        object.metadata.?ownerReferences.orValue([]).exists(owner, owner.uid == object.spec.podSelector.matchLabels[key]))
    message: the operator creates only NetworkPolicies for the pods of their owner
    reason: Forbidden
# The accounts of head pods and judges in each namespace with jobs or rollouts.
accounts:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [serviceaccounts]}
  validations:
  - expression: >-
      object.metadata.name in ['headway-trainer', 'headway-judge'] &&
      !(request.namespace in {{ $closed }})
    message: >-
      the operator creates only the ServiceAccounts headway-trainer and headway-judge, and none in a namespace of the
      cluster's or its own
    reason: Forbidden
# And what these accounts may do: the chart's role of their name, and nothing else.
bindings:
  matchConstraints:
    resourceRules:
    - {operations: [CREATE], apiGroups: [rbac.authorization.k8s.io], apiVersions: [v1], resources: [rolebindings]}
  validations:
  - expression: >-
      object.metadata.name in ['headway-trainer', 'headway-judge'] &&
      object.roleRef.kind == 'ClusterRole' && object.roleRef.name == object.metadata.name &&
      object.?subjects.orValue([]).all(subject, subject.kind == 'ServiceAccount' && subject.name == object.metadata.name &&
        subject.?namespace.orValue('') == request.namespace) &&
      !(request.namespace in {{ $closed }})
    message: >-
      the operator binds only the ServiceAccounts headway-trainer and headway-judge, each to the ClusterRole of its name,
      in the account's own namespace, and in none of the cluster's or its own
    reason: Forbidden
# What others have made stays, whatever it is named.
deletions:
  matchConstraints:
    resourceRules:
    - {operations: [DELETE], apiGroups: [""], apiVersions: [v1], resources: [pods, configmaps, secrets, services]}
    - {operations: [DELETE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}
    - {operations: [DELETE], apiGroups: [policy], apiVersions: [v1], resources: [poddisruptionbudgets]}
    - {operations: [DELETE], apiGroups: [networking.k8s.io], apiVersions: [v1], resources: [networkpolicies]}
    - {operations: [DELETE], apiGroups: [scheduling.k8s.io], apiVersions: [v1beta1], resources: [podgroups]}
    - {operations: [DELETE], apiGroups: [autoscaling], apiVersions: [v2], resources: [horizontalpodautoscalers]}
    {{- if .Values.gatewayApi.enabled }}
    - {operations: [DELETE], apiGroups: [gateway.networking.k8s.io], apiVersions: [v1], resources: [httproutes, grpcroutes]}
    {{- end }}
    {{- if .Values.kserve.enabled }}
    - {operations: [DELETE], apiGroups: [serving.kserve.io], apiVersions: [v1beta1], resources: [inferenceservices]}
    {{- end }}
  validations:
  - expression: >-
      oldObject.metadata.?ownerReferences.orValue([]).exists(owner,
        owner.?controller.orValue(false) && owner.apiVersion.startsWith('headway.dev/') && owner.kind in {{ $owned }})
    message: the operator deletes only objects that a {{ $kinds }} controls
    reason: Forbidden
# A job goes when it has ended and its own spec says that it shall.
jobs:
  matchConstraints:
    resourceRules:
    - {operations: [DELETE], apiGroups: [headway.dev], apiVersions: [v1alpha1], resources: [trainingjobs]}
  validations:
  - expression: has(oldObject.spec.ttlSecondsAfterFinished) && has(oldObject.status) && has(oldObject.status.completionTime)
    message: the operator deletes only TrainingJobs that have ended and have a ttlSecondsAfterFinished
    reason: Forbidden
{{- end -}}

package kube

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Labels and annotations of what stickytop makes in a cluster.
const (
	labelManaged   = "app.kubernetes.io/managed-by"
	labelAgentName = "app.kubernetes.io/name"
	labelRun       = "stickytop.dev/run"
	labelRole      = "stickytop.dev/role"
	noteWho        = "stickytop.dev/by"
	notePort       = "stickytop.dev/port"
	noteEnds       = "stickytop.dev/ends"

	managedBy = "stickytop"
	agentName = "stickytop-agent"

	// agentSelector finds everything of every run.
	agentSelector = labelManaged + "=" + managedBy + "," + labelAgentName + "=" + agentName
)

// Bounds of agents' pods.
const (
	agentCPU     = "200m"
	agentMemory  = "128Mi"
	agentGoLimit = "96MiB"
	agentUser    = 65532 // distroless' nonroot
	// agentLinger is how long a pod that ended can be looked at.
	agentLinger = 30 * time.Second
	// agentGrace is what the cluster waits beyond the agent's own end.
	agentGrace = 15 * time.Second
)

// AgentSpec says which agents to make. Each is a Job of one pod: the Job ends a
// pod whose deadline is over, and once it has ended, by itself or because its
// client was killed, the cluster removes both (ttlSecondsAfterFinished).
type AgentSpec struct {
	Run       string
	Namespace string
	By        string // whose run it is; "" when not known

	Image       string
	PullSecrets []string

	Digest  string        // of the run's token
	Port    int           // on each pod's loopback
	Silence time.Duration // an agent ends after that long without a word
	Life    time.Duration // and after that long, whatever is said

	Clients  int                // agents of role client
	Nodes    []string           // one agent of role kernel on each
	NetAdmin bool               // those of role kernel may read nf_tables
	Plane    affinity.Dataplane // that they will meet, as far as is known
}

// Jobs are the objects of the specification, as of a time.
func (s AgentSpec) Jobs(now time.Time) []*batchv1.Job {
	var all []*batchv1.Job
	for i := range s.Clients {
		all = append(all, s.job(fmt.Sprintf("stickytop-%s-c%d", s.Run, i+1), "client", now, func(*corev1.PodSpec) {}))
	}
	for i, node := range s.Nodes {
		all = append(all, s.job(fmt.Sprintf("stickytop-%s-k%d", s.Run, i+1), "kernel", now, func(p *corev1.PodSpec) { s.onNode(p, node) }))
	}
	return all
}

func (s AgentSpec) job(name, role string, now time.Time, change func(*corev1.PodSpec)) *batchv1.Job {
	labels := map[string]string{labelManaged: managedBy, labelAgentName: agentName, labelRun: s.Run, labelRole: role}
	notes := map[string]string{notePort: strconv.Itoa(s.Port), noteEnds: now.Add(s.Life).UTC().Format(time.RFC3339)}
	if s.By != "" {
		notes[noteWho] = s.By
	}
	pod := s.podSpec(role)
	change(&pod)
	deadline := int64((s.Life + agentGrace) / time.Second)
	pod.ActiveDeadlineSeconds = &deadline
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Namespace, Labels: labels, Annotations: notes},
		Spec: batchv1.JobSpec{
			BackoffLimit: ptr.To[int32](0), ActiveDeadlineSeconds: &deadline, TTLSecondsAfterFinished: ptr.To(int32(agentLinger / time.Second)),
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: notes}, Spec: pod},
		},
	}
}

func (s AgentSpec) podSpec(role string) corev1.PodSpec {
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	pod := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: ptr.To(false), EnableServiceLinks: ptr.To(false),
		TerminationGracePeriodSeconds: ptr.To[int64](5),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](agentUser), RunAsGroup: ptr.To[int64](agentUser),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{labelRun: s.Run}},
		}},
		Containers: []corev1.Container{{
			Name: "agent", Image: s.Image,
			Args: []string{"agent", "--role", role, "--run", s.Run, "--port", strconv.Itoa(s.Port), "--digest", s.Digest,
				"--silence", s.Silence.String(), "--life", s.Life.String()},
			Env: []corev1.EnvVar{
				{Name: "POD_NAME", ValueFrom: field("metadata.name")},
				{Name: "NODE_NAME", ValueFrom: field("spec.nodeName")},
				{Name: "GOMEMLIMIT", Value: agentGoLimit},
			},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: quantity.MustParse("10m"), corev1.ResourceMemory: quantity.MustParse("32Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceCPU: quantity.MustParse(agentCPU), corev1.ResourceMemory: quantity.MustParse(agentMemory)},
			},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true), Privileged: ptr.To(false),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}
	for _, name := range s.PullSecrets {
		pod.ImagePullSecrets = append(pod.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	return pod
}

// onNode makes a pod a reader of one node's tables: in the node's network
// namespace, whatever taints the node has. Kubernetes gives a container that is
// not root no capability that it adds (kubernetes/enhancements#2763), so
// NET_ADMIN takes root, with everything else dropped.
func (s AgentSpec) onNode(pod *corev1.PodSpec, node string) {
	pod.NodeName, pod.HostNetwork, pod.TopologySpreadConstraints = node, true, nil
	pod.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	if s.NetAdmin {
		pod.SecurityContext.RunAsNonRoot, pod.SecurityContext.RunAsUser, pod.SecurityContext.RunAsGroup = ptr.To(false), ptr.To[int64](0), ptr.To[int64](0)
		pod.Containers[0].SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
	}
	if s.Maps() {
		pod.Containers[0].SecurityContext.Capabilities.Add = []corev1.Capability{"BPF", "NET_ADMIN"}
		pod.Volumes = []corev1.Volume{{Name: "bpf", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: bpfFolder, Type: ptr.To(corev1.HostPathDirectory)}}}}
		pod.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "bpf", MountPath: bpfFolder, ReadOnly: true}}
	}
}

// bpfFolder is where a node has its bpffs, and Cilium its maps.
const bpfFolder = "/sys/fs/bpf"

// Maps reports whether agents of role kernel read Cilium's maps, which are
// root's and take CAP_BPF; and kube-proxy's tables, where that is beside it.
func (s AgentSpec) Maps() bool { return s.NetAdmin && s.Plane.Mode == affinity.ModeCilium }

// AgentYAML is the manifest of jobs, to read or to hand to an administrator.
func AgentYAML(jobs []*batchv1.Job) (string, error) {
	var docs []string
	for _, j := range jobs {
		text, err := yaml.Marshal(j)
		if err != nil {
			return "", err
		}
		var plain map[string]any
		if err := yaml.Unmarshal(text, &plain); err != nil {
			return "", err
		}
		delete(plain, "status")
		if text, err = yaml.Marshal(plain); err != nil {
			return "", err
		}
		docs = append(docs, string(text))
	}
	return strings.Join(docs, "---\n"), nil
}

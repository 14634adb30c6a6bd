package kube

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func daemonSet(name string, change ...func(*corev1.Container)) appsv1.DaemonSet {
	set := appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: kubeSystem}}
	c := corev1.Container{Name: name}
	for _, f := range change {
		f(&c)
	}
	set.Spec.Template.Spec.Containers = []corev1.Container{c}
	return set
}

func TestDataplane(t *testing.T) {
	env := func(value string) func(*corev1.Container) {
		return func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "FELIX_BPFENABLED", Value: value}} }
	}
	args := func(words ...string) func(*corev1.Container) { return func(c *corev1.Container) { c.Command = words } }
	proxy := "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: "
	tests := []struct {
		name  string
		facts planeFacts
		mode  string
		why   string
	}{
		{"kubeadm", planeFacts{sets: []appsv1.DaemonSet{daemonSet("kube-proxy")}, proxy: proxy + "nftables", proxyFrom: "configmap/kube-proxy"}, "nftables", "mode: nftables"},
		{"kubeadm, not set", planeFacts{proxy: proxy + `""`, proxyFrom: "configmap/kube-proxy"}, "iptables", "not set"},
		{"flag", planeFacts{sets: []appsv1.DaemonSet{daemonSet("kube-proxy", args("kube-proxy", "--v=2", "--proxy-mode=ipvs"))}}, "ipvs", "--proxy-mode=ipvs"},
		{"flag in two words", planeFacts{sets: []appsv1.DaemonSet{daemonSet("kube-proxy", args("kube-proxy", "--proxy-mode", "iptables"))}}, "iptables", "daemonset/kube-proxy"},
		{"an unknown mode", planeFacts{proxy: proxy + "kernelspace", proxyFrom: "configmap/kube-proxy"}, "", "no DaemonSet"},
		{"not YAML", planeFacts{proxy: "\x00{", proxyFrom: "configmap/kube-proxy"}, "", "no DaemonSet"},
		{"cilium alone", planeFacts{sets: []appsv1.DaemonSet{daemonSet("cilium")}, cilium: map[string]string{"kube-proxy-replacement": "true"}}, "cilium", "in place of kube-proxy"},
		{"cilium beside", planeFacts{sets: []appsv1.DaemonSet{daemonSet("kube-proxy"), daemonSet("cilium")}, cilium: map[string]string{"kube-proxy-replacement": "false"}, proxy: proxy + "iptables"}, "cilium", "beside kube-proxy"},
		{"cilium by its configuration", planeFacts{cilium: map[string]string{}, unread: []string{"DaemonSets"}}, "cilium", "configmap/cilium-config"},
		{"calico, eBPF by environment", planeFacts{sets: []appsv1.DaemonSet{daemonSet("calico-node", env("True"))}}, "calico-ebpf", "bpfEnabled"},
		{"calico, eBPF by a shorter word", planeFacts{sets: []appsv1.DaemonSet{daemonSet("calico-node", env("1"))}}, "calico-ebpf", "bpfEnabled"},
		{"calico, the environment decides", planeFacts{sets: []appsv1.DaemonSet{daemonSet("calico-node", env("no"))}, felix: "true", proxy: proxy + "iptables"}, "iptables", "mode: iptables"},
		{"calico, the environment is nonsense", planeFacts{sets: []appsv1.DaemonSet{daemonSet("calico-node", env("maybe"))}, felix: "true"}, "calico-ebpf", "bpfEnabled"},
		{"calico, eBPF by configuration", planeFacts{sets: []appsv1.DaemonSet{daemonSet("calico-node")}, felix: "true"}, "calico-ebpf", "bpfEnabled"},
		{"calico, iptables", planeFacts{sets: []appsv1.DaemonSet{daemonSet("calico-node")}, felix: "false", proxy: proxy + "iptables", proxyFrom: "configmap/kube-proxy"}, "iptables", "mode: iptables"},
		{"ovn", planeFacts{sets: []appsv1.DaemonSet{daemonSet("ovnkube-node")}}, "ovn-kubernetes", "daemonset/ovnkube-node"},
		{"antrea", planeFacts{sets: []appsv1.DaemonSet{daemonSet("antrea-agent")}}, "antrea", "antrea-agent"},
		{"kube-router as a proxy", planeFacts{sets: []appsv1.DaemonSet{daemonSet("kube-router")}}, "kube-router", "kube-router"},
		{"kube-router as a CNI", planeFacts{sets: []appsv1.DaemonSet{daemonSet("kube-router"), daemonSet("kube-proxy", args("--proxy-mode=nftables"))}}, "nftables", "kube-proxy"},
		{"nothing may be read", planeFacts{unread: []string{"DaemonSets", "configmaps/kube-proxy"}}, "", "may not be read: DaemonSets"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.facts.judge()
			if got.Mode != tt.mode || !strings.Contains(got.Why, tt.why) {
				t.Errorf("%+v, want %s because %q", got, tt.mode, tt.why)
			}
			if got.KubeProxy() != (got.Doubt() == "") {
				t.Errorf("%s: doubt %q", got.Mode, got.Doubt())
			}
			if got.Semantics() == "" || got.Renews() == affinity.RenewalUnknown {
				t.Errorf("%s has no semantics", got.Mode)
			}
		})
	}
}

func TestCiliumNamespace(t *testing.T) {
	elsewhere := daemonSet("cilium")
	elsewhere.Namespace = "networking"
	for _, tt := range []struct {
		sets []appsv1.DaemonSet
		want string
	}{{nil, kubeSystem}, {[]appsv1.DaemonSet{daemonSet("kube-proxy"), elsewhere}, "networking"}} {
		if got := (planeFacts{sets: tt.sets}).ciliumNamespace(); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

// TestPlaneWaitsForServices: that no Service pins by address is said once they
// were listed, not while they could not be.
func TestPlaneWaitsForServices(t *testing.T) {
	for _, tt := range []struct {
		name             string
		status           affinity.SourceStatus
		known, forbidden bool
	}{
		{"listed", affinity.SourceStatus{State: affinity.SourceLive}, true, false},
		{"lost later", affinity.SourceStatus{State: affinity.SourceStale}, true, false},
		{"first list", affinity.SourceStatus{State: affinity.SourceSyncing, Unread: true}, false, false},
		{"never reached", affinity.SourceStatus{State: affinity.SourceStale, Unread: true}, false, false},
		{"forbidden", affinity.SourceStatus{State: affinity.SourceForbidden, Unread: true}, false, true},
	} {
		tt.status.Name = resServices
		needed, known, forbidden := needsPlane(&affinity.Snapshot{Sources: []affinity.SourceStatus{tt.status}})
		if needed || known != tt.known || forbidden != tt.forbidden {
			t.Errorf("%s: needed %v, known %v, forbidden %v", tt.name, needed, known, forbidden)
		}
	}
}

package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Dataplane finds out what programs the nodes' Services, from the objects that
// the user may read: DaemonSets, kube-proxy's and Cilium's ConfigMaps, Calico's
// FelixConfiguration. It is a source of a run.
type Dataplane struct {
	clients *clients
	objects func() *affinity.Snapshot
}

// NewDataplane prepares the source. Nothing is asked before the snapshot holds
// a Service with ClientIP affinity.
func NewDataplane(cfg *rest.Config, version string, objects func() *affinity.Snapshot) (*Dataplane, error) {
	c, err := newClients(cfg, version)
	if err != nil {
		return nil, fmt.Errorf("prepare the clients of %s: %w", cfg.Host, err)
	}
	return &Dataplane{clients: c, objects: objects}, nil
}

// How often is looked again: a dataplane changes with a migration, and after a
// look that failed.
const (
	planePoll  = 200 * time.Millisecond // for a Service that pins by address
	planeAgain = 10 * time.Minute
	planeRetry = 20 * time.Second
)

// Run detects and detects again until ctx ends.
func (d *Dataplane) Run(ctx context.Context, emit func(affinity.Event)) error {
	defer d.Close()
	var last affinity.SourceStatus
	say := func(state affinity.SourceState, detail string) {
		if last.Name == "" || last.State != state || last.Detail != detail {
			last = affinity.SourceStatus{Name: "dataplane", State: state, Since: time.Now(), Detail: affinity.Clean(detail, maxError)}
			emit(affinity.SourceChanged{Status: last})
		}
	}
	say(affinity.SourceSyncing, "waits for the Services")
	for {
		wait := planePoll
		switch needed, known, forbidden := needsPlane(d.objects()); {
		case forbidden:
			say(affinity.SourceOff, "Services may not be read")
		case known && !needed:
			say(affinity.SourceOff, "no Service has ClientIP affinity")
		case needed:
			plane, ok := d.Detect(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if wait = planeAgain; !ok {
				say(affinity.SourceAbsent, "what keeps pins by address could not be asked")
				wait = planeRetry
				break
			}
			emit(affinity.DataplaneDetected{Dataplane: plane})
			if plane.Mode == "" {
				say(affinity.SourceAbsent, plane.Why)
			} else {
				say(affinity.SourceLive, plane.Mode+" by "+plane.Why)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// needsPlane reports whether a Service pins by address, and whether the
// Services are known, or may not be read.
func needsPlane(s *affinity.Snapshot) (needed, known, forbidden bool) {
	needed = slices.ContainsFunc(s.Services, func(s affinity.Service) bool { return s.Policy.Mechanism == affinity.MechanismClientIP })
	known = slices.ContainsFunc(s.Sources, func(src affinity.SourceStatus) bool {
		return src.Name == resServices && src.State != affinity.SourceSyncing && !src.Unread
	})
	return needed, known, !needed && !known && s.Is(resServices, affinity.SourceForbidden)
}

// Detect looks once; ok is false when the API server could not be asked.
func (d *Dataplane) Detect(ctx context.Context) (plane affinity.Dataplane, ok bool) {
	f, ok := d.look(ctx)
	return f.judge(), ok
}

// Close drops the connections.
func (d *Dataplane) Close() { d.clients.dialer.CloseAll() }

// planeFacts is what was read.
type planeFacts struct {
	sets      []appsv1.DaemonSet
	proxy     string // kube-proxy's configuration, YAML; "" when not read
	proxyFrom string
	cilium    map[string]string // cilium-config
	ciliumIn  string            // its namespace
	felix     string            // spec.bpfEnabled of FelixConfiguration default; "" when not read
	unread    []string
}

var (
	daemonSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	felixKinds = schema.GroupVersionResource{Group: "crd.projectcalico.org", Version: "v1", Resource: "felixconfigurations"}
)

const kubeSystem = "kube-system"

// look reads; ok is false when the API server could not be asked.
func (d *Dataplane) look(ctx context.Context) (f planeFacts, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, d.clients.pageTimeout)
	defer cancel()
	list, err := d.clients.dynamic.Resource(daemonSets).List(ctx, metav1.ListOptions{Limit: pageSize})
	if apierrors.IsForbidden(err) {
		list, err = d.clients.dynamic.Resource(daemonSets).Namespace(kubeSystem).List(ctx, metav1.ListOptions{Limit: pageSize})
	}
	switch {
	case err == nil:
		for i := range list.Items {
			var set appsv1.DaemonSet
			if runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &set) == nil {
				f.sets = append(f.sets, set)
			}
		}
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		f.unread = append(f.unread, "DaemonSets")
	default:
		return f, false
	}
	for _, at := range []struct{ name, key string }{{"kube-proxy", "config.conf"}, {"kube-proxy-config", "config"}} { // kubeadm's; EKS'
		u, err := d.get(ctx, &f, configMaps, kubeSystem, at.name)
		if err != nil {
			return f, false
		}
		if text, found, _ := unstructured.NestedString(u, "data", at.key); found && f.proxy == "" {
			f.proxy, f.proxyFrom = text, "configmap/"+at.name+" in "+kubeSystem
		}
	}
	f.ciliumIn = f.ciliumNamespace()
	u, err := d.get(ctx, &f, configMaps, f.ciliumIn, "cilium-config")
	if err != nil {
		return f, false
	}
	f.cilium, _, _ = unstructured.NestedStringMap(u, "data")
	u, err = d.get(ctx, &f, felixKinds, "", "default")
	if err != nil {
		return f, false
	}
	if on, found, _ := unstructured.NestedBool(u, "spec", "bpfEnabled"); found {
		f.felix = fmt.Sprint(on)
	}
	return f, true
}

// get returns an object, nil when it is not there or may not be read. Its
// errors are an API server that could not be asked.
func (d *Dataplane) get(ctx context.Context, f *planeFacts, gvr schema.GroupVersionResource, namespace, name string) (map[string]any, error) {
	u, err := d.clients.dynamic.Resource(gvr).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case err == nil:
		return u.Object, nil
	case apierrors.IsForbidden(err):
		if what := gvr.Resource + "/" + name; gvr != felixKinds {
			f.unread = append(f.unread, what)
		}
		return nil, nil
	case apierrors.IsNotFound(err):
		return nil, nil
	}
	return nil, err
}

// judge says what the facts amount to.
func (f planeFacts) judge() affinity.Dataplane {
	if d, ok := f.replacement(); ok {
		return d
	}
	if mode, from, ok := f.proxyMode(); ok {
		return affinity.Dataplane{Mode: mode, Why: from}
	}
	why := "no DaemonSet or ConfigMap of a known one was found"
	if len(f.unread) > 0 {
		why = "may not be read: " + strings.Join(f.unread, ", ")
	}
	return affinity.Dataplane{Why: why}
}

// replacement finds what works in place of kube-proxy.
func (f planeFacts) replacement() (affinity.Dataplane, bool) {
	for _, set := range f.sets {
		at := "daemonset/" + name(set.Name) + " in " + name(set.Namespace)
		switch {
		case isCilium(set):
			return affinity.Dataplane{Mode: affinity.ModeCilium, Why: at + f.ciliumReplaces()}, true
		case set.Name == "calico-node" && f.calicoBPF(set):
			return affinity.Dataplane{Mode: affinity.ModeCalicoEBPF, Why: at + ", bpfEnabled"}, true
		case strings.HasPrefix(set.Name, "ovnkube-node"):
			return affinity.Dataplane{Mode: affinity.ModeOVN, Why: at}, true
		case set.Name == "antrea-agent":
			return affinity.Dataplane{Mode: affinity.ModeAntrea, Why: at}, true
		case set.Name == "kube-router" && !slices.ContainsFunc(f.sets, isKubeProxy):
			return affinity.Dataplane{Mode: affinity.ModeKubeRouter, Why: at}, true
		}
	}
	if f.cilium != nil {
		return affinity.Dataplane{Mode: affinity.ModeCilium, Why: "configmap/cilium-config in " + cmp.Or(f.ciliumIn, kubeSystem) + f.ciliumReplaces()}, true
	}
	return affinity.Dataplane{}, false
}

// ciliumReplaces says what Cilium leaves to kube-proxy. Without a replacement it
// balances what pods connect to all the same (cilium#35254).
func (f planeFacts) ciliumReplaces() string {
	value, known := f.cilium["kube-proxy-replacement"]
	switch {
	case !known:
		return ""
	case value == "true" || value == "strict":
		return ", in place of kube-proxy"
	}
	return ", beside kube-proxy: it balances what pods connect to, kube-proxy the rest; before Cilium 1.19 it ignored ClientIP then unless told"
}

func isKubeProxy(set appsv1.DaemonSet) bool {
	return set.Name == "kube-proxy" || set.Labels["k8s-app"] == "kube-proxy"
}

func isCilium(set appsv1.DaemonSet) bool {
	return set.Name == "cilium" || set.Name == "anetd" || set.Labels["k8s-app"] == "cilium"
}

// ciliumNamespace is where Cilium's agents run: its chart installs into the
// namespace of the release, its ConfigMap beside them (cilium/cilium:
// install/kubernetes/cilium/templates/cilium-configmap.yaml).
func (f planeFacts) ciliumNamespace() string {
	if i := slices.IndexFunc(f.sets, isCilium); i >= 0 {
		return f.sets[i].Namespace
	}
	return kubeSystem
}

// calicoBPF reports whether Felix runs its eBPF dataplane. The environment
// overrides what the FelixConfiguration says, and its words for a bool are more
// than Go's (projectcalico/calico: felix/config/param_types.go, BoolParam).
func (f planeFacts) calicoBPF(set appsv1.DaemonSet) bool {
	for _, c := range set.Spec.Template.Spec.Containers {
		for _, e := range c.Env {
			if e.Name != "FELIX_BPFENABLED" {
				continue
			}
			switch strings.ToLower(e.Value) {
			case "true", "1", "yes", "y", "t":
				return true
			case "false", "0", "no", "n", "f":
				return false
			}
		}
	}
	return f.felix == "true"
}

// proxyMode is what kube-proxy was told: a flag before its configuration file,
// which it overrides only where there is none (kubernetes:
// cmd/kube-proxy/app/options.go).
func (f planeFacts) proxyMode() (mode, from string, ok bool) {
	if f.proxy != "" {
		var config struct {
			Mode string `json:"mode"`
		}
		if yaml.Unmarshal([]byte(f.proxy), &config) == nil {
			return proxyWord(config.Mode, f.proxyFrom+": mode: "+affinity.Clean(config.Mode, 20))
		}
	}
	for _, set := range f.sets {
		if !isKubeProxy(set) {
			continue
		}
		at := "daemonset/" + name(set.Name) + " in " + name(set.Namespace)
		for _, c := range set.Spec.Template.Spec.Containers {
			words := append(slices.Clone(c.Command), c.Args...)
			for i, w := range words {
				if value, is := strings.CutPrefix(w, "--proxy-mode="); is {
					return proxyWord(value, at+": "+affinity.Clean(w, 40))
				}
				if w == "--proxy-mode" && i+1 < len(words) {
					return proxyWord(words[i+1], at+": --proxy-mode "+affinity.Clean(words[i+1], 20))
				}
			}
		}
	}
	return "", "", false
}

// proxyWord reads a mode; none means iptables on Linux (kubernetes:
// pkg/proxy/apis/config/types.go, KubeProxyConfiguration.Mode).
func proxyWord(value, from string) (mode, why string, ok bool) {
	switch value {
	case affinity.ModeIPTables, affinity.ModeNFTables, affinity.ModeIPVS:
		return value, from, true
	case "":
		return affinity.ModeIPTables, from + "(not set, so iptables)", true
	}
	return "", "", false
}

// Package layout names the lab's files, addresses and versions.
package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/kubestickytop/stickytop/test/lab/npm"
)

// Versions the lab is built from. The cache is keyed by them, so two versions never mix.
const (
	Kubernetes = "v1.37.2"
	Traefik    = "v3.7.13"
)

// Addresses inside the lab. Every lab has its own network namespaces, so two labs share them without meeting.
const (
	ControlIP   = "172.30.0.1"    // the control plane, on the bridge
	ServiceCIDR = "10.96.0.0/16"  // cluster IPs
	PodCIDR     = "10.244.0.0/16" // all pods; node N has 10.244.N.0/24
	APIPort     = 6443
	KubeletPort = 10250
	FirstClient = 101 // clients own 172.30.0.101 to 172.30.0.149
	LastClient  = 149
)

// Names of network namespaces other than the nodes'.
const (
	Control = "control" // etcd, API server, controller manager
	Client  = "client"  // where users of the cluster live: no pod, no kube-proxy
)

// Spec is what a lab is started with. It is written to its folder before its first process starts.
type Spec struct {
	Name     string `json:"name"`
	Dir      string `json:"dir"`
	Cache    string `json:"cache"`
	Nodes    int    `json:"nodes"`
	Proxy    string `json:"proxy"`
	Ingress  string `json:"ingress"`
	Rootless bool   `json:"rootless"`
}

// ProxyOf returns kube-proxy's mode on node i, counted from 1.
func (s Spec) ProxyOf(i int) string {
	modes := strings.Split(s.Proxy, ",")
	return modes[(i-1)%len(modes)]
}

// NodeName returns the name of node i, counted from 1. It is also its network namespace's name.
func NodeName(i int) string { return "node" + strconv.Itoa(i) }

// NodeIP returns the InternalIP of node i, counted from 1.
func NodeIP(i int) string { return fmt.Sprintf("172.30.0.%d", 10+i) }

// NodePods returns the pod CIDR of node i, counted from 1.
func NodePods(i int) string { return fmt.Sprintf("10.244.%d.0/24", i) }

// ClientIP returns the n-th client address, counted from 0.
func ClientIP(n int) string { return fmt.Sprintf("172.30.0.%d", FirstClient+n) }

// LoadBalancerIP returns the n-th address for Services of type LoadBalancer, counted from 0.
func LoadBalancerIP(n int) string { return fmt.Sprintf("172.30.255.%d", 1+n) }

// Cache returns the folder of built binaries: $XDG_CACHE_HOME/stickytop/lab.
func Cache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for the lab's binaries: %w", err)
	}
	return filepath.Join(dir, "stickytop", "lab"), nil
}

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// CheckName rejects names that are no DNS label of at most 32 characters.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("lab name %q: want lower-case letters, digits and dashes, at most 32", name)
	}
	return nil
}

// StateRoot returns the folder that holds one folder per running lab, for this user alone. It is there while labs are.
func StateRoot() (string, error) {
	root := filepath.Join(os.TempDir(), fmt.Sprintf("stickytop-lab-%d", os.Getuid()))
	info, err := os.Lstat(root)
	if errors.Is(err, os.ErrNotExist) {
		return root, nil
	}
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s is not a folder of yours", root)
	}
	return root, nil
}

// MakeStateRoot returns StateRoot, and creates it.
func MakeStateRoot() (string, error) {
	root, err := StateRoot()
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(root, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return StateRoot()
}

// Binary returns the path of a cached program: etcd, kube-apiserver, kube-controller-manager, kube-proxy, traefik.
func Binary(cache, name string) string {
	if name == "traefik" {
		return filepath.Join(TraefikDir(cache), name)
	}
	return filepath.Join(KubernetesDir(cache), name)
}

// KubernetesDir is where the control plane's programs are.
func KubernetesDir(cache string) string { return filepath.Join(cache, "kubernetes-"+Kubernetes) }

// TraefikDir is where Traefik and its CRDs are.
func TraefikDir(cache string) string { return filepath.Join(cache, "traefik-"+Traefik) }

// Save writes the spec into the lab's folder.
func (s Spec) Save() error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, "spec.json"), data, 0o600)
}

// Load reads the spec of the lab whose folder is dir.
func Load(dir string) (Spec, error) {
	var s Spec
	data, err := os.ReadFile(filepath.Join(dir, "spec.json"))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}

// Path returns a path in the lab's folder.
func (s Spec) Path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

// Kubeconfig returns the kubeconfig of a user.
func (s Spec) Kubeconfig(user string) string { return s.Path("kubeconfig-" + user) }

// Socket returns the control socket.
func (s Spec) Socket() string { return s.Path("control.sock") }

// NodeDir is where the Node.js workloads are, with their modules.
func NodeDir(cache string) string { return filepath.Join(cache, "node-"+npm.Key()) }

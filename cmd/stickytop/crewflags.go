package main

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/agent"
	"github.com/kubestickytop/stickytop/internal/kube"
)

// Where the image of agents is, and the variable that names another.
const (
	agentRepository = "ghcr.io/kubestickytop/stickytop"
	agentImageEnv   = "STICKYTOP_AGENT_IMAGE"
)

// Bounds of what is asked for.
const (
	maxAgents = 20 // each takes one of the 100 places that an xt_recent list has
	// runSilence is how long agents of one run live without it.
	runSilence = 30 * time.Second
	runLife    = 4 * time.Hour
	upLife     = time.Hour
	readyWait  = 90 * time.Second
)

// agentFlags say which agents to make, or to use.
type agentFlags struct {
	clients int
	image   string
	secrets []string
	nodes   []string
	yes     bool
}

func (f *agentFlags) add(fs *pflag.FlagSet) {
	fs.IntVar(&f.clients, "agents", 0, "make that many pods, each a client of its own address, for this run; says what it makes and asks")
	fs.StringVar(&f.image, "image", "", "image of agents' pods; $"+agentImageEnv+" or "+agentRepository+" by default")
	fs.StringSliceVar(&f.secrets, "image-pull-secret", nil, "Secret that pulls the image of agents, of the same namespace")
	fs.StringSliceVar(&f.nodes, "node", nil, "node whose tables an agent reads (--kernel); all by default")
	fs.BoolVar(&f.yes, "yes", false, "make agents without asking")
}

func (f *agentFlags) check() error {
	switch {
	case f.clients < 0 || f.clients > maxAgents:
		return usageError("--agents %d: 0 to %d", f.clients, maxAgents)
	}
	for _, name := range append([]string{f.imageName()}, append(f.secrets, f.nodes...)...) {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return usageError("%q is no name of an image, a Secret or a node", affinity.Clean(name, 80))
		}
	}
	return nil
}

// imageName is the image that agents run: a released program's own version.
func (f *agentFlags) imageName() string {
	tag := "latest"
	if strings.HasPrefix(version, "v") && !strings.Contains(version, "-") {
		tag = version
	}
	return cmp.Or(f.image, os.Getenv(agentImageEnv), agentRepository+":"+tag)
}

// spec is what the flags ask for, with a name and a secret of its own.
func (f *agentFlags) spec(namespace string, silence, life time.Duration) (kube.AgentSpec, agent.Token) {
	token := agent.NewToken()
	return kube.AgentSpec{Run: strings.ToLower(rand.Text()[:8]), Namespace: namespace, Image: f.imageName(), PullSecrets: f.secrets,
		Digest: token.Digest(), Port: randomPort(), Silence: silence, Life: life, Clients: f.clients}, token
}

// randomPort is one below the ports that Linux and NodePorts take: on a node's
// own network two runs should not meet.
func randomPort() int {
	n, err := rand.Int(rand.Reader, big.NewInt(10_000))
	if err != nil {
		return 20_000
	}
	return 20_000 + int(n.Int64())
}

// describe is what agents will be, before they are.
func describe(s kube.AgentSpec, server string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "In namespace %s of %s this makes:\n", s.Namespace, server)
	if s.Clients > 0 {
		fmt.Fprintf(&b, "  %s, each with one pod: not root, no capability, Pod Security restricted.\n", jobsOf(s.Clients, s.Run, "c"))
		fmt.Fprintf(&b, "    Each opens connections for the sessions of this program, from its own address.\n")
	}
	if n := len(s.Nodes); n > 0 {
		user := "not root, no capability (enough for iptables)"
		if s.NetAdmin {
			user = "root with NET_ADMIN and nothing else (nftables shows its sets to nobody else)"
		}
		if s.Maps() {
			user = "root with BPF, NET_ADMIN and nothing else; the node's /sys/fs/bpf is mounted read-only (Cilium's maps are there, for root alone)"
		}
		fmt.Fprintf(&b, "  %s, each with one pod on the network of its node (%s):\n    %s.\n", jobsOf(n, s.Run, "k"), strings.Join(first(s.Nodes, 6), ", "), user)
		if d := s.Plane; d.Mode == "" {
			fmt.Fprintf(&b, "    What keeps pins by address there is not known (%s).\n", d.Why)
		} else if s.Maps() {
			fmt.Fprintf(&b, "    Cilium keeps pins by address there (%s): its maps are read, and kube-proxy's tables where there are any.\n", d.Why)
		} else if !d.KubeProxy() {
			fmt.Fprintf(&b, "    %s keeps pins by address there (%s): its own tables are not read, only kube-proxy's.\n", d.Mode, d.Why)
		} else {
			fmt.Fprintf(&b, "    kube-proxy keeps pins by address there, in mode %s (%s).\n", d.Mode, d.Why)
		}
		fmt.Fprintf(&b, "    Each reads its node's tables once a second while it is asked, and changes nothing.\n")
	}
	fmt.Fprintf(&b, "  image %s; read-only files, no service account token, at most 128Mi and 200m CPU, one port on the pod's loopback\n", s.Image)
	fmt.Fprintf(&b, "It takes: %s.\n", strings.Join(kube.AgentRights(), "; "))
	fmt.Fprintf(&b, "They end by themselves %s after the last word of this program, and at the latest after %s; the cluster removes them then.\n", s.Silence, s.Life)
	fmt.Fprintf(&b, "To end them sooner: stickytop agents down --run %s, or kubectl -n %s delete jobs -l stickytop.dev/run=%s\n", s.Run, s.Namespace, s.Run)
	return b.String()
}

// jobsOf names n Jobs of a run.
func jobsOf(n int, run, letter string) string {
	if n == 1 {
		return fmt.Sprintf("Job stickytop-%s-%s1", run, letter)
	}
	return fmt.Sprintf("%d Jobs stickytop-%s-%s1 to %s%d", n, run, letter, letter, n)
}

// first returns at most n of all, and says how many more there are.
func first(all []string, n int) []string {
	if len(all) <= n {
		return all
	}
	return append(all[:n:n], fmt.Sprintf("%d more", len(all)-n))
}

package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/engine"
	"github.com/kubestickytop/stickytop/internal/kube"
	"github.com/kubestickytop/stickytop/internal/probe"
	"github.com/kubestickytop/stickytop/internal/ui"
)

// setup is a run that is ready to start: an engine and what the screen says
// around it.
type setup struct {
	engine *engine.Engine
	target affinity.Target

	context   string
	server    string                   // clusterID
	apiServer string                   // its URL; "" without a cluster
	namespace string                   // "" for all
	selector  string                   // of -l
	user      string                   // of the kubeconfig
	as        rest.ImpersonationConfig // who the API server takes them for; zero for nobody else
	cluster   bool                     // objects are watched
	readOnly  bool

	// lookup tells typing mistakes in words; nil when there is nothing to ask.
	lookup func(context.Context) error
	// prompts reports whether the first call may ask the user something (an
	// exec plugin of the kubeconfig).
	prompts bool

	via       string                          // --via-controller; "" without it
	found     bool                            // addresses are as the cluster tells
	judged    func() bool                     // objects alone are looked at, and what the rules say of them is out; nil where more is
	unmatched func([]affinity.Route) []string // what --resolve names and these routes do not ask; nil without it

	own     bool                             // clients with addresses of their own, which take a while to pin
	log     *os.File                         // of --log-file; nil for none
	round   func(sessions int) time.Duration // until each was asked once; nil when nothing is probed
	maxRPS  float64
	actions []ui.Action
	caption func() string
	crew    *crew  // agents; nil for none
	machine string // what this machine is called as a node, where pins go by that; "" where none do
	read    bool   // its tables are read: it is a node
}

// end gives back what newSetup took: the agents that it made.
func (s *setup) end() { s.crew.end() }

// config is everything a live run was told.
type config struct {
	probe   probeFlags
	cluster clusterFlags
	target  affinity.Target
	version string
	streams *genericiooptions.IOStreams // to ask whether agents may be made; nil where none are
	// dialFrom connects from the addresses of agents.
	dialFrom map[netip.Addr]func(context.Context, string, string) (net.Conn, error)
}

// newSetup wires a run against a cluster, or against a URL alone.
func newSetup(ctx context.Context, c config) (*setup, error) {
	if err := errors.Join(c.probe.check(), c.cluster.agents.check(), c.cluster.from.check(&c), c.cluster.kernel.check(&c.cluster.from)); err != nil {
		return nil, err
	}
	switch {
	case c.target.Kind == "url" && c.cluster.kernel.where != "":
		return nil, usageError("--kernel reads the pins of Services: it needs a cluster, a URL alone does not say which there are")
	case c.probe.noProbe && (c.target.Kind == "url" || c.target.IsZero() && c.probe.url != ""):
		return nil, usageError("--no-probe only watches a cluster, and a URL alone is no cluster: there would be nothing to see")
	case c.target.Kind == "url" && c.probe.url != "":
		return nil, usageError("a URL and --url: with a URL as the target there is nothing else to ask")
	case c.probe.cookie != "" && c.target.Kind != "url" && c.probe.url == "":
		return nil, usageError("--cookie names the cookie of a URL; a cluster's Ingresses say it themselves")
	case c.probe.logs && (c.target.Kind == "url" || c.target.IsZero() && c.probe.url != ""):
		return nil, usageError("--log-evidence reads the logs of pods, and a URL alone is no cluster")
	case c.probe.logs && c.probe.noProbe:
		return nil, usageError("--log-evidence looks for the probes' own requests, and --no-probe sends none")
	case len(c.probe.resolve) > 0 && c.probe.via != "":
		return nil, usageError("--resolve and --via-controller: a port-forward goes to a pod, whatever address a name has; leave one of them out")
	case c.target.Kind == "url":
		c.probe.url = c.target.Name
		return urlSetup(c)
	case c.target.IsZero() && c.probe.url != "":
		return urlSetup(c)
	}
	return clusterSetup(ctx, c)
}

func urlSetup(c config) (*setup, error) {
	route, err := urlRoute(c.probe.url, c.probe.cookie)
	if err != nil {
		return nil, err
	}
	// The URL is the route's own; what the runner takes as --url is an address
	// for routes that have another one.
	c.probe.url = ""
	runner, err := newRunner(c, nil)
	if err != nil {
		return nil, err
	}
	if unmatched := runner.Unmatched([]affinity.Route{route}); len(unmatched) > 0 {
		return nil, usageError("%s", unmatched[0])
	}
	source := c.probe.asks(fixed{route})
	target := affinity.Target{Kind: "url", Name: route.URL}
	return &setup{engine: engine.New(engine.Options{Target: target, Budget: c.probe.budget(), Hints: c.probe.hints()}, runner, source),
		round: c.probe.options(c.version).Round, maxRPS: c.probe.maxRPS, target: target, context: "no cluster", namespace: route.Host}, nil
}

func clusterSetup(ctx context.Context, c config) (made *setup, failed error) {
	flags := &c.cluster.config
	from, door := &c.cluster.from, ""
	if from.on() && c.target.Kind == "service" {
		c.target.Direct = true
		door, c.probe.url = c.probe.url, "" // the route's own, for no other
	}
	loader := flags.loader()
	cfg, namespace, err := c.cluster.restConfig()
	if err != nil {
		return nil, err
	}
	source, err := kube.New(cfg, kube.Options{Namespace: namespace, AllNamespaces: c.cluster.all, LabelSelector: c.cluster.selector, Version: c.version})
	if err != nil {
		return nil, err
	}
	s := &setup{target: c.target, namespace: namespace, selector: c.cluster.selector, cluster: true, readOnly: c.probe.noProbe, prompts: prompts(cfg), as: cfg.Impersonate, server: clusterID(cfg), apiServer: source.Server()}
	if c.cluster.all {
		s.namespace = ""
	} else {
		s.target.Namespace = namespace
	}
	if raw, err := loader.RawConfig(); err == nil {
		s.context = raw.CurrentContext
		if flags.overrides.CurrentContext != "" {
			s.context = flags.overrides.CurrentContext
		}
		if x := raw.Contexts[s.context]; x != nil {
			s.user = x.AuthInfo
		}
		s.user = cmp.Or(flags.overrides.Context.AuthInfo, s.user)
	}
	defer func() {
		if failed != nil {
			s.end()
		}
	}()
	s.lookup = func(ctx context.Context) error {
		if err := source.Lookup(ctx, s.target); err != nil || !s.target.Direct || door != "" {
			return err
		}
		return source.Asked(ctx, s.target)
	}
	s.own = from.on()
	var prober engine.Prober
	snapshot := func() *affinity.Snapshot { return s.engine.Snapshot() }
	judge := kube.NewJudge(cfg, kube.Options{Namespace: namespace, AllNamespaces: c.cluster.all, Version: c.version}, snapshot)
	if c.probe.noProbe && c.cluster.kernel.where == "" && c.cluster.agents.clients == 0 && !from.on() {
		s.judged = judge.Judged
	}
	sources := []engine.Source{kube.WithRules{Source: source, Judge: judge}}
	plane, err := kube.NewDataplane(cfg, c.version, snapshot)
	if err != nil {
		return nil, err
	}
	sources = append(sources, plane)
	if s.namespace != "" && (c.cluster.kernel.where != "" || from.on()) {
		pods, err := kube.NewIngressPods(cfg, c.version)
		if err != nil {
			return nil, err
		}
		sources = append(sources, pods)
	}
	if c.streams != nil {
		if err := s.musterCrew(ctx, &c, cfg, namespace); err != nil {
			return nil, err
		}
		sources = append(sources, s.crew.sources(snapshot)...)
	}
	if !c.probe.noProbe {
		var dialer *kube.ControllerDialer
		if c.probe.via != "" {
			s.via = c.probe.via
			o := kube.ControllerOptions{Target: c.probe.via, Namespace: namespace, Version: c.version}
			if o.Target == "auto" {
				o.Target = ""
			}
			if dialer, err = kube.NewControllerDialer(ctx, cfg, o); err != nil {
				return nil, err
			}
		}
		runner, err := newRunner(c, dialer)
		if err != nil {
			return nil, err
		}
		if c.probe.url != "" { // then it is what is asked, on any route
			if unmatched := runner.Unmatched([]affinity.Route{{}}); len(unmatched) > 0 {
				return nil, usageError("%s", unmatched[0])
			}
		}
		prober = runner
		s.found = c.probe.url == "" && c.probe.via == "" && len(c.probe.resolve) == 0
		if len(c.probe.resolve) > 0 {
			s.unmatched = runner.Unmatched
		}
		s.round, s.maxRPS = c.probe.options(c.version).Round, c.probe.maxRPS
	}
	if s.target.Direct {
		sources[0] = direct{sources[0], s.target, door}
	}
	if from.where == fromLocal {
		sources = append(sources, proxyMode{c.cluster.kernel.name()})
		s.machine = c.cluster.kernel.name()
	}
	sources[0] = c.probe.asks(sources[0])
	if s.unmatched != nil {
		sources[0] = unmatching{sources[0], s.target, s.unmatched}
	}
	if c.probe.logs {
		logs, err := kube.NewLogs(cfg, kube.Options{Namespace: namespace, AllNamespaces: c.cluster.all, Version: c.version})
		if err != nil {
			return nil, err
		}
		sources[0], prober = seen{sources[0], logs}, seenProber{prober, logs}
		sources = append(sources, logs)
	}
	if k := c.cluster.kernel.source(snapshot); k != nil {
		sources = append(sources, k)
		s.machine, s.read = c.cluster.kernel.name(), true
	}
	s.engine = engine.New(engine.Options{Target: s.target, Budget: from.budget(c.probe.budget(), c.cluster.kernel.name()), Hints: c.probe.hints(), Perform: func(cmd affinity.Command) {
		if cmd.Kind == affinity.CommandReconnect {
			go source.Reconnect()
		}
	}}, prober, sources...)
	return s, nil
}

// restConfig is what the flags and the kubeconfig say of the cluster, and the
// namespace in force.
func (f *clusterFlags) restConfig() (*rest.Config, string, error) {
	if err := f.check(); err != nil {
		return nil, "", err
	}
	cfg, namespace, err := kube.Config(f.config.loader(), f.config.overrides.CurrentContext)
	if err == nil {
		same := f.config // whatever context is the current one by then
		if raw, err := same.loader().RawConfig(); err == nil {
			same.overrides.CurrentContext = cmp.Or(same.overrides.CurrentContext, raw.CurrentContext)
		}
		kube.RenewToken(cfg, func() (string, error) {
			again, err := same.loader().ClientConfig()
			if err != nil || again.Host != cfg.Host {
				return "", err
			}
			return again.BearerToken, nil
		})
	}
	if err == nil && unnamed(cfg, &f.config) {
		err = &kube.Problem{What: "no kubeconfig: nothing says where the cluster is", Hint: "set KUBECONFIG or --kubeconfig; a URL is probed without a cluster, 'stickytop demo' needs none"}
		if f.config.file == "" {
			if gone := goneFiles(os.Getenv(clientcmd.RecommendedConfigPathEnvVar)); gone != "" {
				err = &kube.Problem{What: "kubeconfig " + gone + " does not exist", Hint: "$KUBECONFIG names it; without that ~/.kube/config is read"}
			}
		}
	}
	return cfg, namespace, err
}

// musterCrew makes or finds the agents of the run, and lets its clients start
// from them. A target that is not there is told before anything is made.
func (s *setup) musterCrew(ctx context.Context, c *config, cfg *rest.Config, namespace string) (err error) {
	if c.cluster.agents.clients > 0 || c.cluster.kernel.where == kernelAgents {
		if _, err := newRunner(*c, nil); err != nil {
			return err
		}
		if err := mistake(s.lookup(ctx)); err != nil {
			return err
		}
	}
	if s.crew, err = muster(ctx, *c, cfg, namespace); err != nil {
		return err
	}
	if c.cluster.from.where == fromPods {
		c.cluster.from.addrs, c.cluster.from.nodes, c.dialFrom = s.crew.clients()
	}
	return nil
}

// goneFiles are those of a list of paths that are not there, quoted.
func goneFiles(list string) string {
	var gone []string
	for _, path := range filepath.SplitList(list) {
		if _, err := os.Stat(path); path != "" && errors.Is(err, fs.ErrNotExist) {
			gone = append(gone, strconv.Quote(affinity.Clean(path, 200)))
		}
	}
	return strings.Join(gone, ", ")
}

// unnamed reports whether nothing names a cluster: the host is client-go's last
// resort.
func unnamed(cfg *rest.Config, flags *kubeFlags) bool {
	return cfg.Host == "http://localhost:8080" && flags.overrides.ClusterInfo.Server == ""
}

func newRunner(c config, dialer *kube.ControllerDialer) (*probe.Runner, error) {
	o := c.probe.options(c.version)
	o.DialFrom = c.dialFrom
	if dialer != nil {
		o.Dial, o.DialName = dialer.DialContext, "port-forward to the controller"
	}
	r, err := probe.NewRunner(o)
	if err != nil {
		return nil, &failure{code: exitUsage, err: err}
	}
	return r, nil
}

// prompts reports whether the kubeconfig runs a program to log in, which may
// ask the user and open a browser.
func prompts(cfg *rest.Config) bool { return cfg.ExecProvider != nil || cfg.AuthProvider != nil }

// lookupWait is how long the start waits for an answer to "does the target
// exist?" before the screen is shown without it.
const lookupWait = 200 * time.Millisecond

package main

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/probe"
)

// probeFlags say how sessions are held.
type probeFlags struct {
	sessions   int
	max        int
	maxRPS     float64
	interval   time.Duration
	timeout    time.Duration
	client     []string
	compare    bool
	transports []string
	keepAlive  bool
	noProbe    bool

	url      string
	host     string
	path     string
	resolve  []string
	ca       string
	insecure bool
	proxy    string
	via      string

	socket    probe.SocketOptions
	words     socketFlags
	models    []affinity.ClientModel // of client and compare
	cookie    string
	logs      bool
	podHeader string
	podJSON   string
}

func (f *probeFlags) add(fs *pflag.FlagSet) {
	fs.IntVar(&f.sessions, "sessions", 6, "synthetic sessions for each route, at least one of each transport and client model")
	fs.IntVar(&f.max, "max-sessions", probe.MaxSessions, "sessions in all, at most 500")
	fs.Float64Var(&f.maxRPS, "max-rps", probe.DefaultMaxRPS, "requests per second of all sessions together")
	fs.DurationVar(&f.interval, "interval", probe.DefaultInterval, "time between the requests of one session")
	fs.DurationVar(&f.timeout, "probe-timeout", probe.DefaultTimeout, "time for one whole request")
	f.addClients(fs)
	fs.StringSliceVar(&f.transports, "transport", []string{probe.Transports()[0]},
		"what the sessions speak: "+strings.Join(probe.Transports(), ", ")+"; several take turns, and are compared")
	fs.BoolVar(&f.keepAlive, "keep-alive", false, "reuse connections instead of opening one for each request")
	fs.BoolVar(&f.noProbe, "no-probe", false, "only watch the cluster, send nothing")
	fs.StringVar(&f.url, "url", "", "where the ingress is, http[s]://HOST[:PORT][/PATH], and what to ask for where it has a path; alone it probes without a cluster")
	fs.StringVar(&f.host, "host", "", "Host header and TLS name to ask for, instead of the route's")
	fs.StringVar(&f.path, "path", "", "path to ask for, instead of that in --url, the readiness probe's or the route's")
	fs.StringSliceVar(&f.resolve, "resolve", nil, "HOST:PORT:ADDRESS to connect to, as curl's --resolve")
	fs.StringVar(&f.ca, "probe-ca", "", "file of PEM certificates that the ingress's may be signed by")
	fs.BoolVar(&f.insecure, "probe-insecure", false, "do not verify the ingress's certificate")
	fs.StringVar(&f.proxy, "probe-proxy", "", "env: follow HTTP_PROXY and HTTPS_PROXY, which hides the client's address from ClientIP")
	fs.StringVar(&f.via, "via-controller", "", "reach the ingress by a port-forward to its controller: auto, NAMESPACE/POD or NAMESPACE/svc/SERVICE")
	fs.Lookup("via-controller").NoOptDefVal = "auto"
	fs.StringVar(&f.socket.IOPath, "socketio-path", probe.DefaultIOPath, "path of the Socket.IO server")
	fs.StringVar(&f.socket.IONamespace, "socketio-namespace", "/", "Socket.IO namespace to join")
	fs.StringVar(&f.socket.IOTransports, "socketio-transports", probe.IOBoth, "polling,websocket as browsers do; websocket,polling: polling where no WebSocket opens (tryAllTransports of Socket.IO 4.8); or only one of them")
	fs.StringVar(&f.socket.IOAsk, "socketio-ask", "", "event to emit, whose ack names the pod")
	fs.StringVar(&f.socket.IOEvent, "socketio-event", "", "event of the server that names the pod")
	fs.BoolVar(&f.socket.Idle, "idle", false, "hold WebSockets (--transport ws) without a word, and tell when they are cut")
	f.addSockets(fs)
	fs.StringVar(&f.cookie, "cookie", "", "name of the affinity cookie, where no Ingress says it")
	fs.BoolVar(&f.logs, "log-evidence", false, "follow the logs of backend pods and of the ingress controller for the X-Request-Id of each request (needs get on pods/log)")
	fs.StringVar(&f.podHeader, "pod-header", "", "response header that names the pod; nothing else is believed then")
	fs.StringVar(&f.podJSON, "pod-json", "", "path in a JSON body that names the pod (pod.name); nothing else is believed then")
}

func (f *probeFlags) check() error {
	if err := cmp.Or(f.checkRanges(), f.checkClients()); err != nil {
		return err
	}
	switch {
	case f.sessions < 0:
		return usageError("--sessions %d: must not be negative", f.sessions)
	case f.sessions > probe.MaxSessions:
		return usageError("--sessions %d: at most %d in all", f.sessions, probe.MaxSessions)
	case f.max < 1 || f.max > probe.MaxSessions:
		return usageError("--max-sessions %d: must be 1 to %d", f.max, probe.MaxSessions)
	case f.proxy != "" && f.proxy != "env":
		return usageError("--probe-proxy %q: only env is known", f.proxy)
	case f.path != "" && f.path[0] != '/':
		return usageError("--path %q: must begin with /", f.path)
	}
	return f.checkSockets()
}

func (f *probeFlags) options(version string) probe.Options {
	o := probe.Options{Version: version, Interval: f.interval, MaxRPS: f.maxRPS, KeepAlive: f.keepAlive, Timeout: f.timeout,
		URL: f.url, Host: f.host, Resolve: f.resolve, CAFile: f.ca, Insecure: f.insecure, Header: f.words.all, Socket: f.socket}
	if f.proxy == "env" {
		o.Proxy = http.ProxyFromEnvironment
	}
	if f.podHeader != "" {
		o.KeepHeaders = []string{f.podHeader}
	}
	return o
}

func (f *probeFlags) budget() affinity.Budget {
	path, _ := f.socket.EnginePath() // its query may be a secret
	return affinity.Budget{PerRoute: f.sessions, Max: f.max, Transports: f.transports, Clients: f.models, Paths: map[string]string{"socketio": path}}
}

func (f *probeFlags) hints() affinity.Hints {
	h := affinity.Hints{Header: f.podHeader}
	if f.podJSON != "" {
		h.JSON = strings.Split(strings.TrimPrefix(f.podJSON, "."), ".")
	}
	return h
}

// clusterFlags say which cluster and what in it.
type clusterFlags struct {
	config   kubeFlags
	all      bool
	selector string
	kernel   kernelFlags
	agents   agentFlags
	from     fromFlags
}

func (f *clusterFlags) add(fs *pflag.FlagSet) {
	f.config.add(fs)
	fs.BoolVarP(&f.all, "all-namespaces", "A", false, "watch all namespaces")
	fs.StringVarP(&f.selector, "selector", "l", "", "label selector of the Ingresses to show")
	f.kernel.add(fs)
	f.agents.add(fs)
	f.from.add(fs)
}

// screenFlags say how to draw.
type screenFlags struct {
	ascii  bool
	color  string
	theme  string
	noSync bool
}

func (f *screenFlags) add(fs *pflag.FlagSet) {
	fs.BoolVar(&f.ascii, "ascii", false, "draw with ASCII only")
	fs.StringVar(&f.color, "color", "auto", "auto, always or never")
	fs.StringVar(&f.theme, "theme", "", "colours of the screen; T changes them while it runs")
	fs.BoolVar(&f.noSync, "no-sync", false, "do not use synchronized output (CSI ? 2026)")
}

// outputFlags say what to print where there is no screen.
type outputFlags struct {
	format     string
	window     time.Duration
	watch      bool
	noHeaders  bool
	reveal     bool
	exchanges  bool
	windowSaid bool
}

func (f *outputFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&f.format, "output", "o", "", "wide, json, yaml, name, jsonpath=…, go-template=… or custom-columns=…")
	fs.DurationVar(&f.window, "for", 10*time.Second, "how long to watch and probe before printing")
	fs.BoolVarP(&f.watch, "watch", "w", false, "print sessions as they change; with -o json one object a line")
	fs.BoolVar(&f.noHeaders, "no-headers", false, "print tables without their header")
	fs.BoolVar(&f.reveal, "show-cookies", false, "print the values of cookies, which let anyone who reads them take the session")
	fs.BoolVar(&f.exchanges, "requests", false, "list every request of each session (-o json or yaml)")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		f.windowSaid = cmd.Flags().Changed("for")
		if f.window <= 0 || f.window > maxWindow {
			return usageError("--for %s: must be above 0, at most %s", f.window, short(maxWindow))
		}
		return nil
	}
}

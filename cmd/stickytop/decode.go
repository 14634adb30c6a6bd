package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/capture"
	"github.com/kubestickytop/stickytop/internal/decode"
	"github.com/kubestickytop/stickytop/internal/ingress"
	"github.com/kubestickytop/stickytop/internal/kube"
)

// exitNotDecoded is of decode alone: the question was understood, and no
// cookie answers it.
const exitNotDecoded = 1

type decodeFlags struct {
	endpoints []string
	backend   string
	keys      []string
	maker     string
	har       string
	at        string
	format    string
}

func newDecode(name string, streams genericiooptions.IOStreams, cluster *clusterFlags, logFile *string) *cobra.Command {
	var f decodeFlags
	cmd := &cobra.Command{
		Use:   "decode [COOKIE]",
		Short: "Tell which pod a cookie from a browser is pinned to",
		Long: `Tells which controller made a cookie, which backend and pod it names, when it
was issued where the value tells, and whether that pod is gone. COOKIE is a
value, name=value, a whole Cookie or Set-Cookie line, or a request copied as
cURL; without it, or with -, standard input is read.

The endpoints are those of the cluster, or with --endpoints those you give; then
no cluster is asked. Only the shape of a value proposes a controller; an
endpoint that it names decides. Values are masked in what is printed. --at tells
whether the cookie had been issued or had ended by then, and, from a cluster,
whether its pod had been made.

Exit codes: 0 decoded; 1 not decodable, with the reason and what to do instead;
2 the command line is wrong; 3 the cluster could not be asked, or its endpoints
may not be read.`,
		Example: fmt.Sprintf(`  %[1]s decode 'INGRESSCOOKIE=VALUE' -n msgapp
  %[1]s decode 'lb=8284434f14da8452' --endpoints 10.244.0.5:8080,10.244.1.7:8080
  %[1]s decode --har chat.example.com.har -A -o json
  pbpaste | %[1]s decode -n msgapp`, name),
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := logTo(*logFile)
			if err != nil {
				return err
			}
			if log != nil {
				defer log.Close()
			}
			return runDecode(cmd.Context(), args, f, cluster, streams)
		},
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&f.endpoints, "endpoints", nil, "decode against these instead of a cluster's: IP:PORT or URLs, each with POD= before it where the format needs the pod's name")
	fs.StringVar(&f.backend, "backend", "", "whose cookie it is, NAMESPACE/SERVICE:PORT with the port as the Ingress writes it")
	fs.StringSliceVar(&f.keys, "key", nil, "dynamic-cookie-key of HAProxy, where it is not the controller's default")
	fs.StringVar(&f.maker, "controller", "", "whose cookie it is: apisix and skipper, which hash a cookie of the application's own, are asked only then")
	fs.StringVar(&f.har, "har", "", "read the cookies of a HAR file; - is standard input")
	fs.StringVar(&f.at, "at", "", "time that is asked about, as 2026-01-02T15:04:05Z or how long ago, as 90m; --endpoints are taken for those of then")
	fs.StringVarP(&f.format, "output", "o", "", "json: an object for each cookie")
	completeFlag(cmd, "output", "json")
	completeFlag(cmd, "controller", ingress.FormatKeys()...)
	_ = cmd.RegisterFlagCompletionFunc("backend", completeBackend(cluster))
	return cmd
}

func runDecode(ctx context.Context, args []string, f decodeFlags, cluster *clusterFlags, streams genericiooptions.IOStreams) error {
	w, only, err := f.world(time.Now())
	if err != nil {
		return err
	}
	cookies, left, err := f.cookies(args, streams)
	if err != nil {
		return err
	}
	var clusterErr error
	if len(f.endpoints) == 0 && slices.ContainsFunc(cookies, func(c capture.Cookie) bool { return askable(c, f.maker) }) {
		clusterErr = askCluster(ctx, &w, only, cluster, streams.ErrOut)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	results, others := read(cookies, w)
	if n := others + left; n > 0 {
		fmt.Fprintf(streams.ErrOut, "%d other cookies are passed over\n", n)
	}
	switch single := len(results) == 1; {
	case f.format == "json":
		err = decode.WriteJSON(streams.Out, results)
	case !single || results[0].Decoded || results[0].Tie: // else the error says it all
		err = decode.WriteText(streams.Out, results, w.Now)
	}
	switch {
	case err != nil:
		return err
	case slices.ContainsFunc(results, func(r decode.Result) bool { return r.Decoded }):
		if clusterErr != nil {
			fmt.Fprintf(streams.ErrOut, "warning: decoded without the cluster: %v\n", clusterErr)
		}
		return nil
	case clusterErr != nil:
		return clusterErr
	case slices.ContainsFunc(results, func(r decode.Result) bool { return r.Unread }):
		r := results[slices.IndexFunc(results, func(r decode.Result) bool { return r.Unread })]
		return cannot(r.Instead, "not decoded: %s", r.Reason)
	case len(results) == 1:
		return &failure{code: exitNotDecoded, err: errors.New("not decoded: " + results[0].Reason), hint: results[0].Instead}
	}
	if len(results) == 0 {
		return &failure{code: exitNotDecoded, err: fmt.Errorf("not decoded: none of %d cookies looks like a controller's", len(cookies)), hint: "give one alone to see why"}
	}
	return &failure{code: exitNotDecoded, err: fmt.Errorf("none of %d cookies is decoded", len(results)), hint: "each has its reason above"}
}

// read reads the cookies. Of several, as a browser sends, the application's
// own are passed over, and counted.
func read(cookies []capture.Cookie, w decode.World) (results []decode.Result, others int) {
	for _, c := range cookies {
		r := decode.Read(c, w)
		if len(cookies) > 1 && !r.Affinity() {
			others++
			continue
		}
		results = append(results, r)
	}
	return results, others
}

// world is what the flags say; only is the backend of --backend.
func (f decodeFlags) world(now time.Time) (w decode.World, only affinity.Backend, err error) {
	w = decode.World{Keys: f.keys, Now: now}
	if w.Controller = f.maker; f.maker != "" && !slices.Contains(ingress.FormatKeys(), f.maker) {
		return w, only, usageError("--controller %q: want one of %s", affinity.Clean(f.maker, 40), strings.Join(ingress.FormatKeys(), ", "))
	}
	if f.format != "" && f.format != "json" {
		return w, only, usageError("unknown output format %q: use json", affinity.Clean(f.format, 40))
	}
	if w.At, err = parseAt(f.at, now); err != nil {
		return w, only, err
	}
	if f.backend != "" {
		if only, err = decode.ParseBackend(f.backend); err != nil {
			return w, only, usageError("--backend %w", err)
		}
	}
	if len(f.endpoints) > 0 {
		endpoints, err := decode.ParseEndpoints(f.endpoints)
		if err != nil {
			return w, only, usageError("--endpoints %w", err)
		}
		w.Scopes = append(w.Scopes, decode.Given(endpoints, only))
	}
	return w, only, nil
}

func parseAt(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	ago, err := time.ParseDuration(text)
	if err != nil || ago < 0 {
		return time.Time{}, usageError("--at %q: want a time as 2026-01-02T15:04:05Z, or how long ago as 90m", affinity.Clean(text, 60))
	}
	return now.Add(-ago), nil
}

// cookies are those of the argument, the HAR file or standard input, and how
// many were left out for being too many or too long.
func (f decodeFlags) cookies(args []string, streams genericiooptions.IOStreams) (all []capture.Cookie, left int, err error) {
	if len(args) > 0 && args[0] == "-" { // as of every other command's files
		args = nil
	}
	switch {
	case f.har != "" && len(args) > 0:
		return nil, 0, usageError("either COOKIE or --har")
	case f.har != "":
		if all, left, err = readHAR(f.har, streams.In); err != nil {
			return nil, 0, err
		}
		if len(all) == 0 {
			return nil, 0, &failure{code: exitNotDecoded, err: errors.New("the HAR file holds no cookies"), hint: "browsers leave them out unless asked: export it with sensitive data"}
		}
		return all, left, nil
	case len(args) > 0 && strings.HasSuffix(strings.ToLower(args[0]), ".har"):
		return nil, 0, usageError("%q is a file's name and no cookie: --har reads it", affinity.Clean(args[0], 200))
	case len(args) > 0:
		all, left = capture.Text(args[0])
	default:
		if in, ok := streams.In.(*os.File); ok && isatty.IsTerminal(in.Fd()) {
			return nil, 0, usageError("no cookie: give one, --har FILE, or standard input")
		}
		text, err := io.ReadAll(io.LimitReader(streams.In, capture.MaxText))
		if err != nil {
			return nil, 0, usageError("standard input: %w", err)
		}
		if capture.LooksLikeHAR(text) {
			return nil, 0, usageError("standard input is a HAR file, or JSON of another kind, and no cookie: decode --har - reads one")
		}
		all, left = capture.Text(string(text))
	}
	if len(all) == 0 && left > 0 {
		return nil, 0, &failure{code: exitNotDecoded, err: errors.New("not decoded: it is longer than a cookie can be"), hint: "browsers keep 4 KiB of one; give the value alone"}
	}
	if len(all) == 0 {
		return nil, 0, usageError("no cookie in what was given")
	}
	return all, left, nil
}

func readHAR(path string, in io.Reader) ([]capture.Cookie, int, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, 0, usageError("--har: %w", err)
		}
		defer file.Close()
		in = file
	}
	all, left, err := capture.HAR(in)
	if err != nil {
		return nil, 0, usageError("--har %s: %w", affinity.Clean(path, 200), err)
	}
	return all, left, nil
}

// askable reports whether endpoints would tell more of a cookie: not of one
// that is opaque by its name, nor of one that is cut short. Any other value may be a pod's name.
func askable(c capture.Cookie, maker string) bool {
	if decode.Abbreviated(c.Value) {
		return false
	}
	r := decode.Read(c, decode.World{Controller: maker})
	return r.Decoded || r.Controller == "" || len(r.Candidates) > 0
}

// clusterWait bounds how long the cluster's answers are waited for.
const clusterWait = 20 * time.Second

// askCluster puts what the cluster holds into w. Where nothing names a cluster
// there is none to ask, which is no error.
func askCluster(ctx context.Context, w *decode.World, only affinity.Backend, cluster *clusterFlags, warn io.Writer) error {
	loader := cluster.config.loader()
	cfg, _, err := kube.Config(loader, cluster.config.overrides.CurrentContext)
	if err != nil {
		return err
	}
	if unnamed(cfg, &cluster.config) {
		return nil
	}
	c := config{probe: noProbes(), cluster: *cluster, version: version}
	s, err := newSetup(ctx, c)
	if err != nil {
		return err
	}
	if only.Service.Namespace != "" && s.namespace != "" && only.Service.Namespace != s.namespace {
		return usageError("--backend is in namespace %q and %s is read: add -n %s", only.Service.Namespace, s.where(), only.Service.Namespace)
	}
	if err := s.lookup(ctx); err != nil {
		return err
	}
	snap, err := s.look(ctx)
	if err != nil {
		return err
	}
	for _, src := range snap.Sources {
		if src.State == affinity.SourceForbidden {
			fmt.Fprintf(warn, "warning: %s %s: %s\n", src.Name, src.State, src.Detail)
			if src.Name == "endpointslices" || src.Name == "services" {
				w.Unread = append(w.Unread, src.Name)
			}
		}
	}
	w.Scopes, w.Where = decode.Cluster(snap, only), s.where()
	w.Pods = make(map[affinity.PodRef]affinity.Pod, len(snap.Pods))
	for _, p := range snap.Pods {
		w.Pods[p.Ref] = p
	}
	return nil
}

// look runs until every source has said what it can, and returns what they
// said.
func (s *setup) look(ctx context.Context) (*affinity.Snapshot, error) {
	run, cancel := context.WithTimeout(ctx, clusterWait)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.engine.Run(run) }()
	for !synced(s.engine.Snapshot()) {
		select {
		case <-s.engine.Changed():
		case err := <-ended:
			if err != nil {
				return nil, err
			}
			return nil, cannot("--endpoints decodes without a cluster", "the cluster did not answer within %s", clusterWait)
		}
	}
	select { // routes are built a moment after the objects have arrived
	case <-time.After(settleWait):
	case <-run.Done():
	}
	cancel()
	err := <-ended
	return s.engine.Snapshot(), err
}

const settleWait = 200 * time.Millisecond

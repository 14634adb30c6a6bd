package lab

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubestickytop/stickytop/test/lab/internal/agent"
	"github.com/kubestickytop/stickytop/test/lab/internal/control"
	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

// Kubeconfig returns the path of a user's kubeconfig: admin, viewer, blind. Its server is reachable from inside
// the lab only: use it with Command, or RestConfig without.
func (l *Lab) Kubeconfig(user string) string { return l.Spec.Kubeconfig(user) }

// Command returns a command that will run in one of the lab's network namespaces (client, control, node1, ...,
// or pod/NAME, pod/NAMESPACE/NAME), with the administrator's KUBECONFIG. Files, processes and terminal are the
// caller's own. Signals reach the command itself: nothing stands between. Like the lab that a process starts for
// itself, a command in it is killed when the process ends, however that ends; what the command starts is not.
func (l *Lab) Command(ctx context.Context, ns, name string, args ...string) (*exec.Cmd, error) {
	ns, err := l.resolve(ns)
	if err != nil {
		return nil, err
	}
	pid := strconv.Itoa(l.pid)
	parent := "0"
	if l.tether != nil {
		parent = strconv.Itoa(os.Getpid())
	}
	inside := append([]string{l.program, "_in", pid, ns, parent, name}, args...)
	if l.Spec.Rootless {
		inside = append([]string{"nsenter", "-t", pid, "-U", "--preserve-credentials"}, inside...)
	}
	cmd := exec.CommandContext(ctx, inside[0], inside[1:]...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+l.Kubeconfig("admin"), cacheVariable(l.Spec.Dir))
	return cmd, nil
}

// Exec runs a command as Command does and returns its standard output. An error carries its standard error.
func (l *Lab) Exec(ctx context.Context, ns, name string, args ...string) ([]byte, error) {
	cmd, err := l.Command(ctx, ns, name, args...)
	if err != nil {
		return nil, err
	}
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}

// resolve turns pod/NAME into its network namespace's name.
func (l *Lab) resolve(ns string) (string, error) {
	name, ok := strings.CutPrefix(ns, "pod/")
	if !ok {
		ns = either(ns, layout.Client)
		places := []string{layout.Client, layout.Control}
		for i := range l.Spec.Nodes {
			places = append(places, layout.NodeName(i+1))
		}
		if !slices.Contains(places, ns) {
			return "", fmt.Errorf("no place %q in the lab: it has %s, pod/NAME and pod/NAMESPACE/NAME", ns, strings.Join(places, ", "))
		}
		return ns, nil
	}
	pod, err := l.runningPod(name)
	if err != nil {
		return "", err
	}
	return either(pod.NS, pod.Node), nil
}

// Pod is what the lab's node agent knows of a pod.
type Pod = agent.Description

// runningPod finds a running pod by NAME (in namespace msgapp) or NAMESPACE/NAME.
func (l *Lab) runningPod(name string) (Pod, error) {
	namespace, base := splitName(name)
	return agent.FindPod(l.Spec, namespace, base)
}

func splitName(name string) (namespace, base string) {
	if namespace, base, ok := strings.Cut(name, "/"); ok {
		return namespace, base
	}
	return "msgapp", name
}

// Dial connects to an IP address and port from inside a network namespace; source is an address of that namespace
// to connect from, or empty.
func (l *Lab) Dial(ctx context.Context, ns, source, address string) (net.Conn, error) {
	ns, err := l.resolve(ns)
	if err != nil {
		return nil, err
	}
	return l.control.Dial(ctx, ns, source, address)
}

// HTTPClient returns an HTTP client that lives in the client's namespace, at the n-th of its addresses (0 to 48),
// and opens a connection for every request. URLs name IP addresses; set a request's Host for the ingress.
func (l *Lab) HTTPClient(n int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return l.Dial(ctx, layout.Client, layout.ClientIP(n), address)
		},
	}}
}

// IngressIP returns the address of the ingress controller's Service of type LoadBalancer; its port is 80. The
// hosts behind it are msgapp.local, echo.local and loose.local.
func (l *Lab) IngressIP() string { return layout.LoadBalancerIP(0) }

// NodeIP returns a node's InternalIP, counted from 1. The echo Service's NodePort is 30080.
func (l *Lab) NodeIP(i int) string { return layout.NodeIP(i) }

// ClientIP returns the n-th client address, 0 to 48.
func (l *Lab) ClientIP(n int) string { return layout.ClientIP(n) }

// RestConfig returns a client configuration of a user that works in the caller's process, for everything that
// client-go does, exec and port-forward included: these dial by themselves, so a dialer in the configuration would
// not do. Its server is a relay on the caller's loopback interface, which ends with the lab's handle: a connection
// that the API server would refuse is taken and closed.
func (l *Lab) RestConfig(user string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig(user))
	if err != nil {
		return nil, err
	}
	relay, err := l.relay(net.JoinHostPort(layout.ControlIP, strconv.Itoa(layout.APIPort)))
	if err != nil {
		return nil, err
	}
	config.Host = "https://" + relay
	config.QPS, config.Burst = 100, 200
	return config, nil
}

// Client returns a Kubernetes client of a user: admin, viewer, blind; or lab, an administrator whom no fault reaches.
func (l *Lab) Client(user string) (kubernetes.Interface, error) {
	config, err := l.RestConfig(user)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// relay returns a loopback address that leads to an address inside the lab.
func (l *Lab) relay(target string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.relays == nil {
		l.relays = map[string]net.Listener{}
	}
	if listener, ok := l.relays[target]; ok {
		return listener.Addr().String(), nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	l.relays[target] = listener
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(conn, target)
		}
	}()
	return listener.Addr().String(), nil
}

func (l *Lab) carry(in net.Conn, target string) {
	defer in.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	out, err := l.Dial(ctx, layout.Client, "", target)
	cancel()
	if err != nil {
		return
	}
	defer out.Close()
	control.Splice(in, out)
}

// fullName gives pod/NAME its namespace, and leaves other places as they are.
func fullName(place string) string {
	name, ok := strings.CutPrefix(place, "pod/")
	if !ok {
		return place
	}
	namespace, base := splitName(name)
	return "pod/" + namespace + "/" + base
}

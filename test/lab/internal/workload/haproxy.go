package workload

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	discovery "k8s.io/api/discovery/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// HAProxy runs the system's haproxy as an ingress controller: it writes a configuration from the Ingresses of
// class haproxy and reloads on changes. Of haproxytech/kubernetes-ingress it knows two annotations, on the Service
// or the Ingress, and names and keys things as that controller does (pkg/annotations/service/cookie.go,
// pkg/service/service.go).
func HAProxy(args []string) error {
	flags := flag.NewFlagSet("haproxy", flag.ContinueOnError)
	publish := flags.String("publish-service", "ingress/ingress-controller", "the Service whose address goes into Ingress status")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	dir := filepath.Join("/run", "haproxy-"+hostname())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	h := &haproxy{client: client, file: filepath.Join(dir, "haproxy.cfg"), publish: *publish, slots: map[string][]string{}}
	return h.run(ctx)
}

const (
	ingressClass    = "haproxy"
	dynamicCookie   = "haproxy.org/cookie-persistence"
	staticCookie    = "haproxy.org/cookie-persistence-no-dynamic"
	dynamicKey      = "ohph7OoGhong"
	settleForReload = 100 * time.Millisecond
)

type haproxy struct {
	client  kubernetes.Interface
	file    string
	publish string
	master  *exec.Cmd
	ended   chan error
	now     []byte              // the configuration in force
	slots   map[string][]string // backend to address by slot: a pod keeps its SRV_n while it lives

	factory informers.SharedInformerFactory
}

func (h *haproxy) run(ctx context.Context) error {
	h.factory = informers.NewSharedInformerFactory(h.client, 0)
	wake := make(chan struct{}, 1)
	note := func(any) {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: note, UpdateFunc: func(_, o any) { note(o) }, DeleteFunc: note}
	h.factory.Networking().V1().Ingresses().Informer().AddEventHandler(handler)
	h.factory.Core().V1().Services().Informer().AddEventHandler(handler)
	h.factory.Discovery().V1().EndpointSlices().Informer().AddEventHandler(handler)
	h.factory.Start(ctx.Done())
	h.factory.WaitForCacheSync(ctx.Done())
	h.ended = make(chan error, 1)
	for {
		if err := h.sync(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "haproxy controller:", err)
		}
		select {
		case err := <-h.ended:
			return fmt.Errorf("haproxy ended: %w", err)
		case <-ctx.Done():
			return h.stop()
		case <-wake:
			time.Sleep(settleForReload)
		case <-time.After(5 * time.Second):
		}
	}
}

func (h *haproxy) stop() error {
	if h.master == nil {
		return nil
	}
	h.master.Process.Signal(syscall.SIGTERM)
	<-h.ended
	return nil
}

// sync writes the configuration that the cluster wants, if it is another one, and publishes the address.
func (h *haproxy) sync(ctx context.Context) error {
	ingresses, err := h.factory.Networking().V1().Ingresses().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	var mine []*netv1.Ingress
	for _, i := range ingresses {
		if i.Spec.IngressClassName != nil && *i.Spec.IngressClassName == ingressClass {
			mine = append(mine, i)
		}
	}
	config := h.configuration(mine)
	if !bytes.Equal(config, h.now) {
		if err := h.load(config); err != nil {
			return err
		}
	}
	return h.publishStatus(ctx, mine)
}

func (h *haproxy) load(config []byte) error {
	if err := os.WriteFile(h.file, config, 0o600); err != nil {
		return err
	}
	if out, err := exec.Command("haproxy", "-c", "-f", h.file).CombinedOutput(); err != nil {
		return fmt.Errorf("configuration: %w: %s", err, out)
	}
	h.now = config
	if h.master != nil {
		return h.master.Process.Signal(syscall.SIGUSR2)
	}
	h.master = exec.Command("haproxy", "-W", "-db", "-f", h.file)
	h.master.Stdout, h.master.Stderr = os.Stdout, os.Stderr
	if err := h.master.Start(); err != nil {
		return err
	}
	go func() { h.ended <- h.master.Wait() }()
	return nil
}

func (h *haproxy) publishStatus(ctx context.Context, ingresses []*netv1.Ingress) error {
	namespace, name, _ := strings.Cut(h.publish, "/")
	svc, err := h.factory.Core().V1().Services().Lister().Services(namespace).Get(name)
	if err != nil {
		return err
	}
	for _, ingress := range ingresses {
		if len(svc.Status.LoadBalancer.Ingress) == 0 || len(ingress.Status.LoadBalancer.Ingress) > 0 {
			continue
		}
		fresh := ingress.DeepCopy()
		fresh.Status.LoadBalancer.Ingress = []netv1.IngressLoadBalancerIngress{{IP: svc.Status.LoadBalancer.Ingress[0].IP}}
		if _, err := h.client.NetworkingV1().Ingresses(ingress.Namespace).UpdateStatus(ctx, fresh, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// servers returns a Service's ready endpoints by slot; empty slots are empty strings.
func (h *haproxy) servers(namespace, service, port, backend string) []string {
	slices, err := h.factory.Discovery().V1().EndpointSlices().Lister().EndpointSlices(namespace).
		List(labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: service}))
	if err != nil {
		return nil
	}
	ready := map[string]bool{}
	for _, slice := range slices {
		for _, p := range slice.Ports {
			if p.Port == nil || p.Name != nil && *p.Name != port {
				continue
			}
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready != nil && *e.Conditions.Ready {
					ready[fmt.Sprintf("%s:%d", e.Addresses[0], *p.Port)] = true
				}
			}
		}
	}
	h.slots[backend] = assign(h.slots[backend], ready)
	return h.slots[backend]
}

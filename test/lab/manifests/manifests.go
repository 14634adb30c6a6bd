// Package manifests holds what a lab applies to its cluster.
package manifests

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
)

var (
	//go:embed cluster.yaml
	cluster string
	//go:embed msgapp.yaml
	msgapp string
	//go:embed echo.yaml
	echo string
	//go:embed ingress-nginx.yaml
	ingressNginx string
	//go:embed controller-traefik.yaml
	controllerTraefik string
	//go:embed ingress-traefik.yaml
	ingressTraefik string
	//go:embed controller-haproxy.yaml
	controllerHAProxy string
	//go:embed ingress-haproxy.yaml
	ingressHAProxy string
)

// Ingresses are the ingress controllers a lab can have.
var Ingresses = []string{"traefik-nginx", "traefik", "haproxy"}

// Set is one file of manifests. Each is applied by a field manager of its own, so that a later one may add to an
// earlier one's objects.
type Set struct {
	Name string
	Text string
}

// For returns the manifests of a lab with the given ingress controller, in applying order.
func For(ingress, cache string) ([]Set, error) {
	controller, routes := controllerTraefik, ingressNginx
	var definitions string
	switch ingress {
	case "traefik-nginx":
		controller = traefik("--providers.kubernetesingressnginx=true",
			"--providers.kubernetesingressnginx.publishservice=ingress/ingress-controller")
	case "traefik":
		data, err := os.ReadFile(filepath.Join(layout.TraefikDir(cache), "crds.yaml"))
		if err != nil {
			return nil, err
		}
		definitions, routes = string(data), ingressTraefik
		controller = traefik("--providers.kubernetescrd=true", "--providers.kubernetesingress=true",
			"--providers.kubernetesingress.ingressendpoint.publishedservice=ingress/ingress-controller")
	case "haproxy":
		controller, routes = controllerHAProxy, ingressHAProxy
	default:
		return nil, fmt.Errorf("no ingress controller %q: want one of %s", ingress, strings.Join(Ingresses, ", "))
	}
	return []Set{
		{"cluster", cluster}, {"definitions", definitions}, {"controller", controller},
		{"msgapp", msgapp}, {"echo", echo}, {"routes", routes},
	}, nil
}

func traefik(args ...string) string {
	return strings.Replace(controllerTraefik, "        ARGS", "        - "+strings.Join(args, "\n        - "), 1)
}

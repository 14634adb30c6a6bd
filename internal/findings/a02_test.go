package findings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestSlips wants a slip of each controller's annotations told, with the name
// that was meant.
func TestSlips(t *testing.T) {
	all := findings.Check(read(t, "testdata/rules/A02/bad.yaml"), findings.Options{Only: []string{"A02"}}).Findings
	for _, want := range []string{
		"ingress/web nginx.ingress.kubernetes.io/affinity-node nginx.ingress.kubernetes.io/affinity-mode",
		"ingress/old ingress.kubernetes.io/affinity nginx.ingress.kubernetes.io/affinity",
		"service/haproxy haproxy.org/cookies-persistence haproxy.org/cookie-persistence",
		"ingress/hi haproxy-ingress.github.io/session-cookie-keyword haproxy-ingress.github.io/session-cookie-keywords",
		"ingress/f5 nginx.org/sticky-cookies-services nginx.org/sticky-cookie-services",
		"route/route haproxy.router.openshift.io/cookie_name router.openshift.io/cookie_name",
		"service/kong konghq.com/upstream-polices konghq.com/upstream-policy",
		"service/gke cloud.google.com/backendconfig cloud.google.com/backend-config",
		"service/traefik traefik.ingress.kubernetes.io/service.sticky.cookies traefik.ingress.kubernetes.io/service.sticky.cookie",
		"service/nlb service.beta.kubernetes.io/aws-load-balancer-target-group-attribute service.beta.kubernetes.io/aws-load-balancer-target-group-attributes",
		"ingress/agic appgw.ingress.kubernetes.io/cookie-based-afinity appgw.ingress.kubernetes.io/cookie-based-affinity",
	} {
		w := strings.Fields(want)
		if !slices.ContainsFunc(all, func(f affinity.Finding) bool {
			return f.Object.String() == w[0] && f.Title == "unknown annotation "+w[1] && f.Fix == "did you mean "+w[2]+"?" && strings.Contains(f.Patch, w[2])
		}) {
			t.Errorf("nothing says %s: %s", want, titles(all))
		}
	}
}

package ingress

import (
	"cmp"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// assumed is which settings of a controller's own ConfigMap a policy depends on
// and takes for their defaults, as that was not read.
func (w *World) assumed(controller string, p *Place, policy affinity.Policy) string {
	switch controller {
	case nginxKey:
		if w.nginxConfig.Name != "" || policy.Mechanism == affinity.MechanismNone {
			return ""
		}
		var keys []string
		for _, key := range []string{"service-upstream", "proxy-read-timeout"} {
			if strings.TrimSpace(p.Ingress.Annotations[nginxPrefix+key]) == "" {
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			return ""
		}
		return "defaults assumed (" + strings.Join(keys, ", ") + "): " + cmp.Or(w.nginxConfig.Unread, "the controller's ConfigMap was not looked for yet")
	case haproxyIngressKey, haproxytechKey:
		// Whatever the objects do not say, an affinity among it, may be set there.
		return "defaults assumed (what the objects do not set): this controller's ConfigMap is never read"
	}
	return ""
}

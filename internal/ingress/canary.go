package ingress

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// backend is the Service of a place as routes have it.
func (p *Place) backend() affinity.Backend {
	b := affinity.Backend{Service: p.ref(), Port: p.Backend.Port()}
	if p.Port != nil {
		b.PortName = p.Port.Name
	}
	return b
}

// canaryShare says which requests a canary gets that no cookie holds: by a
// header first, then by a cookie of the client's own, then by chance.
// [balancer.lua route_to_alternative_balancer, annotations/canary/main.go]
func canaryShare(annotations map[string]string) string {
	get := func(key string) string { return strings.TrimSpace(annotations[nginxPrefix+key]) }
	var parts []string
	if header := get("canary-by-header"); header != "" {
		part := "header " + header
		switch value, pattern := get("canary-by-header-value"), get("canary-by-header-pattern"); {
		case value != "":
			part += ": " + value
		case pattern != "":
			part += " ~ " + pattern
		}
		parts = append(parts, part)
	}
	if cookie := get("canary-by-cookie"); cookie != "" {
		parts = append(parts, "cookie "+cookie)
	}
	weight, err := strconv.Atoi(get("canary-weight"))
	total, bad := strconv.Atoi(get("canary-weight-total"))
	if bad != nil || total <= 0 {
		total = 100
	}
	if err == nil && (weight > 0 || len(parts) == 0) {
		parts = append(parts, fmt.Sprintf("weight %d/%d", weight, total))
	}
	if len(parts) == 0 {
		return "no weight, header or cookie"
	}
	return affinity.Clean(strings.Join(parts, ", "), maxText)
}

// primaryBranch is a canary's primary, seen from the canary's own route.
func primaryBranch(p *Place, d affinity.Decoder, cookie string) affinity.Branch {
	return affinity.Branch{Backend: p.backend(), Object: objectOf(p.Ingress), Decoder: d, Cookie: cookie}
}

// canaryBranch is a canary, seen from its primary's route.
func canaryBranch(p *Place, d affinity.Decoder, cookie string) affinity.Branch {
	return affinity.Branch{Backend: p.backend(), Object: objectOf(p.Ingress), Share: canaryShare(p.Ingress.Annotations), Canary: true, Decoder: d, Cookie: cookie}
}

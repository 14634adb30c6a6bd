package ingress

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// skipper is Zalando's Skipper, as far as annotations of an Ingress tell:
// RouteGroups are not read. It has no IngressClass controller of its own: it
// goes by the annotation of the class. [zalando/skipper
// dataclients/kubernetes/ingress.go, docs/kubernetes/ingress-usage.md,
// filters/consistenthash/key.go]
type skipper struct{}

const (
	skipperKey    = "skipper"
	skipperPrefix = "zalando.org/"
)

func (skipper) Key() string                 { return skipperKey }
func (skipper) Claims(string) bool          { return false }
func (skipper) KnownAs(class string) bool   { return class == "skipper" }
func (skipper) Owns(annotation string) bool { return strings.HasPrefix(annotation, skipperPrefix) }

var (
	// skipperHashKey is a filter in eskip; what it hashes is a template.
	skipperHashKey    = regexp.MustCompile(`(?:^|[^A-Za-z0-9_])consistentHashKey\s*\(\s*"([^"]{0,200})"\s*\)`)
	skipperCookieOnly = regexp.MustCompile(`^\$\{request\.cookie\.([^}]+)\}$`)
)

func (s skipper) Read(_ *World, places []*Place) []Reading {
	readings := make([]Reading, len(places))
	for i, p := range places {
		readings[i] = s.read(p)
	}
	return readings
}

func (skipper) read(p *Place) Reading {
	r := Reading{Policy: affinity.Policy{Controller: skipperKey}}
	if p.Service != nil && p.Service.Type == "ExternalName" {
		r.Upstream = UpstreamExternal
	}
	algorithm, set := p.Annotation(skipperPrefix + "skipper-loadbalancer")
	filters, _ := p.Annotation(skipperPrefix + "skipper-filter")
	key := skipperHashKey.FindStringSubmatch(filters)
	switch {
	case !set:
		r.Policy.Why = "no annotation " + skipperPrefix + "skipper-loadbalancer, which is roundRobin unless the flag -kubernetes-default-lb-algorithm says otherwise"
		return r
	case algorithm != "consistentHash":
		r.Policy.Why = fmt.Sprintf("annotation %sskipper-loadbalancer: %s", skipperPrefix, quote(algorithm))
		if key != nil {
			r.Notes = append(r.Notes, "consistentHashKey is ignored: the algorithm is not consistentHash")
		}
		return r
	}
	r.Policy.Mode, r.Policy.MovesSilently = "consistentHash", true
	r.Policy.Why = "annotation " + skipperPrefix + "skipper-loadbalancer: consistentHash"
	var cookie []string
	if key != nil {
		cookie = skipperCookieOnly.FindStringSubmatch(key[1])
	}
	switch {
	case key == nil:
		r.Policy.Mechanism = affinity.MechanismClientIP
		r.Policy.Notes = []string{"the client's address is hashed: clients behind one address share a pod"}
		return r
	case cookie == nil:
		r.Policy.Why += ", of " + quote(key[1]) + ", not of a cookie alone"
		r.Policy.Notes = []string{"the pod is chosen by a hash of the request, which is no session of Skipper's own making"}
		return r
	}
	scheme, _ := p.Annotation(skipperPrefix + "skipper-backend-protocol")
	r.Policy.Mechanism = affinity.MechanismCookie
	r.Policy.Cookie = affinity.CookieSpec{Name: cookie[1], FlagsUnknown: true, Application: true}
	r.Policy.Decoder = skipperHash{scheme: orElse(scheme, "http")}
	r.Policy.Why += ", of cookie " + quote(cookie[1])
	r.Policy.Notes = []string{"the application makes this cookie, Skipper hashes it over all pods: when one comes or goes, some clients move and keep their cookie",
		"a request without it goes by the client's address"}
	if strings.Contains(filters, "consistentHashBalanceFactor") {
		r.Policy.Notes = append(r.Policy.Notes, "consistentHashBalanceFactor sends requests elsewhere while a pod is busier than the others")
	}
	return r
}

package ingress

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// traefik is Traefik's provider for Ingress objects, which takes stickiness
// from annotations of the Service. Read from Traefik v3.7.13,
// pkg/provider/kubernetes/ingress/{kubernetes,annotations}.go.
type traefik struct{}

const (
	traefikKey        = "traefik"
	traefikController = "traefik.io/ingress-controller"
	traefikPrefix     = "traefik.ingress.kubernetes.io/"
)

func (traefik) Key() string                   { return traefikKey }
func (traefik) Claims(controller string) bool { return controller == traefikController }
func (traefik) KnownAs(class string) bool     { return class == "traefik" }
func (traefik) Owns(annotation string) bool   { return strings.HasPrefix(annotation, traefikPrefix) }

func (t traefik) Read(w *World, places []*Place) []Reading {
	parsed := map[*Service]traefikService{}
	readings := make([]Reading, len(places))
	for i, p := range places {
		if p.Service == nil {
			readings[i] = Reading{Policy: affinity.Policy{Controller: traefikKey, Why: "the Service is not known"}}
			if w.servicesUnread {
				readings[i].Notes = []string{"Services can't be read, and Traefik takes stickiness from their annotations"}
			}
			continue
		}
		conf, ok := parsed[p.Service]
		if !ok {
			conf = parseTraefik(p.Service.Annotations)
			parsed[p.Service] = conf
		}
		readings[i] = t.read(p, conf)
	}
	return readings
}

func (traefik) read(p *Place, conf traefikService) Reading {
	r := Reading{Policy: affinity.Policy{Controller: traefikKey, KeepsTerminating: true}, Notes: onIngress(p)}
	if p.Default && len(p.Ingress.Rules) > 0 {
		r.Policy.Why = "spec.defaultBackend is not served"
		r.Notes = append(r.Notes, "Traefik ignores spec.defaultBackend of an Ingress that has rules")
		return r
	}
	if conf.err != "" {
		r.Policy.Why = "the Service's annotations are rejected"
		r.Notes = append(r.Notes, "Traefik drops this route: "+conf.err)
		return r
	}
	r.Upstream, r.Setting = traefikUpstream(p.Service, conf.nativeLB, conf.nodePortLB)
	if conf.sticky == nil {
		r.Policy.Why = fmt.Sprintf("no annotation %sservice.sticky.cookie on service/%s", traefikPrefix, p.Service.Name)
		return r
	}
	service := traefikName(p.Ingress.Namespace + "-" + p.Backend.Service + "-" + p.Backend.Port())
	if p.Default {
		service = "default-backend"
	}
	r.Policy = traefikPolicy(*conf.sticky, service+"@kubernetes")
	r.Policy.Why = fmt.Sprintf("annotation %sservice.sticky.cookie of service/%s", traefikPrefix, p.Service.Name)
	return r
}

// traefikUpstream is what Traefik connects to, and by which setting.
func traefikUpstream(s *Service, nativeLB, nodePortLB bool) (Upstream, string) {
	switch {
	case nodePortLB && s.Type == "NodePort":
		return UpstreamNodePort, "nodePortLB"
	case s.Type == "ExternalName":
		return UpstreamExternal, ""
	case nativeLB:
		return UpstreamClusterIP, "nativeLB"
	}
	return UpstreamPods, ""
}

// onIngress notes service annotations on an Ingress, where Traefik does not
// look for them.
func onIngress(p *Place) []string {
	n := countPrefix(p.Ingress.Annotations, traefikPrefix+"service.")
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%sservice.* is ignored on the Ingress (%d found): it belongs on service/%s", traefikPrefix, n, p.Backend.Service)}
}

// traefikService is what a Service's annotations say.
type traefikService struct {
	sticky     *TraefikCookie
	nativeLB   bool
	nodePortLB bool
	err        string // why Traefik rejects all of them; "" when it does not
}

// parseTraefik reads a Service's annotations. Names are compared without case;
// one name or value under service. that can't be read makes Traefik drop the
// routes to the Service, unless it is below an element that is switched off.
// [paerser parser/nodes_metadata.go, element_fill.go]
func parseTraefik(annotations map[string]string) traefikService {
	set := map[string]string{}
	for key, value := range annotations {
		if rest, ok := strings.CutPrefix(key, traefikPrefix+"service."); ok {
			set[strings.ToLower(rest)] = value
		}
	}
	var t traefikService
	cookie, asked := TraefikCookie{}, false
	off := switchedOff(set["sticky"]) || switchedOff(set["sticky.cookie"])
	for _, key := range slices.Sorted(maps.Keys(set)) {
		value := set[key]
		field, below := strings.CutPrefix(key, "sticky.cookie.")
		var known bool
		var err error
		if below {
			known, err = cookie.set(field, value)
		} else {
			known, err = t.set(key, value)
		}
		asked = asked || below || key == "sticky.cookie"
		if !known || err != nil && !(below && off) {
			return traefikService{err: fmt.Sprintf("annotation %sservice.%s: %s can't be read", traefikPrefix, key, quote(value))}
		}
	}
	if asked && !off {
		t.sticky = &cookie
	}
	return t
}

// set takes one annotation that is not of the cookie.
func (t *traefikService) set(key, value string) (known bool, err error) {
	switch key {
	case "sticky", "sticky.cookie", "serversscheme", "serverstransport", "middlewares":
	case "passhostheader":
		_, err = strconv.ParseBool(value)
	case "nativelb":
		t.nativeLB, err = strconv.ParseBool(value)
	case "nodeportlb":
		t.nodePortLB, err = strconv.ParseBool(value)
	default:
		return false, nil
	}
	return true, err
}

// switchedOff reports whether the value of an element that may be empty turns
// it off: anything but "true".
func switchedOff(value string) bool { return value != "" && !strings.EqualFold(value, "true") }

func (c *TraefikCookie) set(field, value string) (known bool, err error) {
	switch field {
	case "name":
		c.Name = value
	case "secure":
		c.Secure, err = strconv.ParseBool(value)
	case "httponly":
		c.HTTPOnly, err = strconv.ParseBool(value)
	case "samesite":
		c.SameSite = value
	case "maxage":
		c.MaxAge, err = strconv.Atoi(value)
	case "path":
		c.Path = &value
	case "domain":
		c.Domain = value
	case "expires", "preserveleadingdot": // fields of other providers, passed over
	default:
		return false, nil
	}
	return true, err
}

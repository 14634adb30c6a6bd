package ingress

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// World is Objects, indexed.
type World struct {
	services       map[affinity.ServiceRef]*Service
	classes        map[string]Class
	traefik        map[affinity.ServiceRef]*TraefikService
	custom         map[string][]*Custom // by resource
	customByName   map[customName]*Custom
	attached       map[affinity.ServiceRef]attachedPersistence // filled when asked
	under          map[string]map[string][]int                 // by resource, filled by customsUnder
	customUnread   map[string]bool
	readiness      map[ServicePortKey]string
	meantBy        map[*Ingress]map[string]string // annotations, kept by meant
	classesUnread  bool
	servicesUnread bool
	nginxConfig    NginxConfig
	running        Running
	likeliest      []Controller // all, the one that runs first
}

func newWorld(o Objects) *World {
	w := &World{
		services:       make(map[affinity.ServiceRef]*Service, len(o.Services)),
		classes:        make(map[string]Class, len(o.Classes)),
		traefik:        make(map[affinity.ServiceRef]*TraefikService, len(o.TraefikServices)),
		custom:         map[string][]*Custom{},
		customByName:   map[customName]*Custom{},
		under:          map[string]map[string][]int{},
		customUnread:   o.CustomUnread,
		readiness:      o.Readiness,
		meantBy:        map[*Ingress]map[string]string{},
		classesUnread:  o.ClassesUnread,
		servicesUnread: o.ServicesUnread,
		nginxConfig:    o.NginxConfig,
		running:        o.Running,
		likeliest:      likeliest(o.Running),
	}
	for i := range o.Services {
		w.services[o.Services[i].Ref()] = &o.Services[i]
	}
	for _, c := range o.Classes {
		w.classes[c.Name] = c
	}
	for i := range o.TraefikServices {
		t := &o.TraefikServices[i]
		w.traefik[affinity.ServiceRef{Namespace: t.Namespace, Name: t.Name}] = t
	}
	for i := range o.Custom {
		c := &o.Custom[i]
		w.custom[c.Key] = append(w.custom[c.Key], c)
		if name := (customName{c.Key, c.Namespace, c.Name}); w.customByName[name] == nil {
			w.customByName[name] = c
		}
	}
	return w
}

// Place is one host and path of an Ingress, and the Service behind it.
type Place struct {
	Ingress *Ingress
	Host    string // "" for any
	Path    string // as written
	Type    string
	Default bool // from spec.defaultBackend
	Backend Backend
	Service *Service     // nil when it is unknown
	Port    *ServicePort // nil when it is unknown
	TLS     bool         // the Ingress asks for TLS for this host
	class   classOf
	notes   []string // for its route

	rewritten bool // middlewares may change the path on the way
}

// Annotation returns an annotation of the place's Ingress.
func (p *Place) Annotation(key string) (string, bool) {
	value, ok := p.Ingress.Annotations[key]
	return value, ok
}

func (p *Place) ref() affinity.ServiceRef {
	return affinity.ServiceRef{Namespace: p.Ingress.Namespace, Name: p.Backend.Service}
}

// places lists every host and path of the Ingresses, oldest Ingress first, as
// ingress-nginx orders them: of two created in the same second, the one whose
// namespace/name sorts last goes first.
func (w *World) places(ingresses []Ingress) []*Place {
	sorted := make([]*Ingress, len(ingresses))
	for i := range ingresses {
		sorted[i] = &ingresses[i]
	}
	slices.SortStableFunc(sorted, func(a, b *Ingress) int {
		return cmp.Or(a.Created.Truncate(time.Second).Compare(b.Created.Truncate(time.Second)),
			cmp.Compare(b.Namespace+"/"+b.Name, a.Namespace+"/"+a.Name))
	})
	var all []*Place
	for _, ing := range sorted {
		class := w.class(ing.ClassName, ing.Annotations)
		for _, r := range ing.Rules {
			for _, p := range r.Paths {
				all = append(all, w.place(ing, class, Place{Host: r.Host, Path: p.Path, Type: p.Type, Backend: p.Backend}))
			}
		}
		if ing.DefaultBackend != nil {
			all = append(all, w.place(ing, class, Place{Type: "Prefix", Default: true, Backend: *ing.DefaultBackend}))
		}
	}
	return all
}

func (w *World) place(ing *Ingress, class classOf, p Place) *Place {
	p.Ingress, p.class, p.TLS = ing, class, wantsTLS(ing.TLS, p.Host)
	p.Service = w.services[p.ref()]
	p.Port = portOf(p.Service, p.Backend.Port())
	return &p
}

// portOf finds the port of a Service that an Ingress names by number or name.
func portOf(s *Service, port string) *ServicePort {
	if s == nil || port == "" {
		return nil
	}
	for i := range s.Ports {
		if p := &s.Ports[i]; p.Name == port || strconv.Itoa(p.Port) == port {
			return p
		}
	}
	return nil
}

// wantsTLS reports whether an Ingress asks for TLS for a host. An entry without
// hosts stands for all of them.
func wantsTLS(entries []TLS, host string) bool {
	for _, e := range entries {
		if len(e.Hosts) == 0 {
			return true
		}
		for _, h := range e.Hosts {
			if h == host || covers(h, host) {
				return true
			}
		}
	}
	return false
}

// covers reports whether a wildcard host "*.example.com" stands for host: one
// label more, no deeper.
func covers(wildcard, host string) bool {
	if len(wildcard) < 3 || wildcard[:2] != "*." {
		return false
	}
	rest := wildcard[1:]
	n := len(host) - len(rest)
	if n <= 0 || host[n:] != rest {
		return false
	}
	for i := range n {
		if host[i] == '.' {
			return false
		}
	}
	return true
}

func itoa(n int) string { return strconv.Itoa(n) }

// quote makes text from outside safe to stand in a note.
func quote(s string) string { return strconv.Quote(affinity.Clean(s, 80)) }

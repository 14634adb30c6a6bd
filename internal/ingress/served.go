package ingress

// Served names the controllers that may serve an Ingress.
type Served struct {
	Keys     []string // likeliest first, as in affinity.Policy.Controller; empty when unknown
	Title    string   // of the first, for people
	Class    string   // IngressClass name; "" when none is known
	Presumed bool     // by the class's name or the object's annotations, not by an IngressClass
}

// By reports whether the likeliest controller is key.
func (s Served) By(key string) bool { return len(s.Keys) > 0 && s.Keys[0] == key }

// ServedBy returns which controllers may serve each of the objects' Ingresses.
func ServedBy(o Objects) []Served {
	w := newWorld(o)
	out := make([]Served, len(o.Ingresses))
	for i := range o.Ingresses {
		ing := &o.Ingresses[i]
		class := w.class(ing.ClassName, ing.Annotations)
		found, _ := w.candidates(class, w.meant(class, ing))
		s := Served{Class: class.name, Presumed: class.controller == "" || class.doubt != ""}
		for _, c := range found {
			s.Keys = append(s.Keys, c.Key())
		}
		if len(found) > 0 {
			s.Title = titleOf(found[0].Key())
		} else if key, title := recognise(class); key != "" {
			s.Keys, s.Title = []string{key}, title
		}
		out[i] = s
	}
	return out
}

// First is s with key, one of its own, as the likeliest.
func (s Served) First(key string) Served {
	keys := []string{key}
	for _, k := range s.Keys {
		if k != key {
			keys = append(keys, k)
		}
	}
	s.Keys, s.Title = keys, titleOf(key)
	return s
}

// Only is s once it is certain that key serves.
func (s Served) Only(key string) Served {
	s.Keys, s.Title, s.Presumed = []string{key}, titleOf(key), false
	return s
}

// Title names a controller for people; "" for one that is not known.
func Title(key string) string { return titleOf(key) }

var titles = map[string]string{nginxKey: "ingress-nginx", traefikKey: "Traefik", traefikNginxKey: "Traefik's ingress-nginx provider",
	haproxytechKey: "HAProxy Kubernetes Ingress Controller", haproxyIngressKey: "HAProxy Ingress", skipperKey: "Skipper"}

func titleOf(key string) string {
	if t := titles[key]; t != "" {
		return t
	}
	for _, n := range named {
		if n.key == key {
			return n.title
		}
	}
	return ""
}

// Near reports whether name looks like a misspelt known: at most two letters
// differ, and fewer than a third of them.
func Near(name, known string) bool { return near(name, known) }

// NginxAffinityAnnotations are the annotations of ingress-nginx that have to do
// with affinity, without their prefix.
func NginxAffinityAnnotations() []string { return nginxKnown }

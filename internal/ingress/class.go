package ingress

import (
	"fmt"
	"maps"
	"slices"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// annotationClass is the annotation that named the class before
// spec.ingressClassName did; controllers still read it.
const annotationClass = "kubernetes.io/ingress.class"

// classOf is the class of an Ingress and how it is known.
type classOf struct {
	name       string // "" when the object has none
	controller string // "" when unknown
	doubt      string // why controller is unknown, or name presumed; "" when neither
}

// class resolves the class of an Ingress: spec.ingressClassName, else the
// legacy annotation, else the cluster's default class. The API server writes
// the default class into an Ingress when it is created, so one that still
// names none is older than the default, and which controller takes it is the
// controllers' own setting.
func (w *World) class(className string, annotations map[string]string) classOf {
	if className != "" {
		return w.classNamed(className, "no IngressClass has that name")
	}
	if name := annotations[annotationClass]; name != "" {
		// Controllers match it against a setting of their own: no IngressClass is needed.
		return w.classNamed(name, "it is named by the annotation "+annotationClass)
	}
	var defaults []Class
	for _, c := range w.classes {
		if c.Default {
			defaults = append(defaults, c)
		}
	}
	switch {
	case len(defaults) == 1:
		return classOf{defaults[0].Name, defaults[0].Controller, "the object names none, this is the default class"}
	case len(defaults) > 1:
		return classOf{doubt: fmt.Sprintf("the object names none, and %d classes are marked default", len(defaults))}
	}
	return classOf{doubt: "the object names no class"}
}

func (w *World) classNamed(name, absent string) classOf {
	c, ok := w.classes[name]
	switch {
	case ok:
		return classOf{name: name, controller: c.Controller}
	case w.classesUnread:
		return classOf{name: name, doubt: "IngressClasses can't be read"}
	}
	return classOf{name: name, doubt: absent}
}

// likeliest is Controllers, the one that runs in the cluster before the others.
func likeliest(r Running) []Controller {
	at := slices.IndexFunc(Controllers, func(c Controller) bool { return c.Key() == r.Key })
	if at < 0 {
		return Controllers
	}
	return append([]Controller{Controllers[at]}, slices.Delete(slices.Clone(Controllers), at, at+1)...)
}

// candidates returns the controllers that may serve an object, likeliest
// first, and what is presumed about it.
func (w *World) candidates(c classOf, annotations map[string]string) (found []Controller, notes []string) {
	found, notes = fitting(c, annotations, w.likeliest, w.running.Key != "")
	if len(found) > 1 && found[0].Key() == w.running.Key {
		notes = append(slices.Clip(notes), fmt.Sprintf("%s presumed before %s, which answers to the same class: %s runs it", titleOf(found[0].Key()), titleOf(found[1].Key()), w.running.By))
	}
	return found, notes
}

// fitting are those of all that may serve an object. running is whether it is
// known which of those that share a class runs.
func fitting(c classOf, annotations map[string]string, all []Controller, running bool) (found []Controller, notes []string) {
	for _, x := range all {
		switch {
		case c.controller != "" && x.Claims(c.controller),
			c.controller == "" && c.name != "" && x.KnownAs(c.name),
			!running && c.controller == "" && c.name != "" && alsoKnownAs[x.Key()] == c.name && owns(x, annotations):
			found = append(found, x)
		}
	}
	why := ""
	if c.controller == "" && len(found) > 1 { // whose annotations it has, for that it is likely written
		slices.SortStableFunc(found, func(a, b Controller) int { return rank(a, annotations) - rank(b, annotations) })
		if rank(found[0], annotations) != rank(found[len(found)-1], annotations) {
			why = " and annotations"
		}
	}
	key, title := recognise(c)
	switch {
	case c.controller != "" && c.doubt != "" && (len(found) > 0 || key != ""):
		return found, []string{fmt.Sprintf("class presumed: %s (%s)", quote(c.name), c.doubt)}
	case c.controller != "" && (len(found) > 0 || key != ""):
		return found, nil
	case len(found) > 0:
		return found, []string{fmt.Sprintf("controller presumed by the class name %s%s: %s", quote(c.name), why, c.doubt)}
	case key != "":
		return nil, []string{fmt.Sprintf("controller presumed by the class name %s, %s: %s", quote(c.name), title, c.doubt)}
	}
	for _, x := range all {
		if owns(x, annotations) {
			found = append(found, x)
		}
	}
	subject, doubt := "controller", c.doubt
	switch {
	case c.controller != "":
		subject, doubt = "controller "+quote(c.controller), "it is not one that is read here"
	case c.name != "":
		subject = "controller of class " + quote(c.name)
	}
	if len(found) > 0 {
		return found, []string{fmt.Sprintf("%s presumed by the object's annotations: %s", subject, doubt)}
	}
	return nil, []string{fmt.Sprintf("%s unknown: %s", subject, doubt)}
}

// alsoKnownAs are class names that controllers share with likelier ones: they
// are candidates only for objects with their annotations.
// [nginx/kubernetes-ingress charts/nginx-ingress/values.yaml, controller.ingressClass.name]
var alsoKnownAs = map[string]string{nginxIncKey: "nginx"}

// meant are the annotations that tell whom an Ingress is written for: its own
// and, for both HAProxy controllers, those of its Services.
func (w *World) meant(class classOf, ing *Ingress) map[string]string {
	if class.controller != "" || class.name != "haproxy" || owns(haproxytech{}, ing.Annotations) || owns(haproxyIngress{}, ing.Annotations) {
		return ing.Annotations
	}
	if all, ok := w.meantBy[ing]; ok {
		return all
	}
	all := map[string]string{}
	maps.Copy(all, ing.Annotations)
	add := func(b Backend) {
		if s := w.services[affinity.ServiceRef{Namespace: ing.Namespace, Name: b.Service}]; s != nil {
			maps.Copy(all, s.Annotations)
		}
	}
	for _, r := range ing.Rules {
		for _, p := range r.Paths {
			add(p.Backend)
		}
	}
	if ing.DefaultBackend != nil {
		add(*ing.DefaultBackend)
	}
	w.meantBy[ing] = all
	return all
}

// rank is lower for controllers whose annotations an object has.
func rank(c Controller, annotations map[string]string) int {
	if owns(c, annotations) {
		return 0
	}
	return 1
}

func owns(c Controller, annotations map[string]string) bool {
	for key := range annotations {
		if c.Owns(key) {
			return true
		}
	}
	return false
}

package kube

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// Bounds of a line about an edit.
const (
	maxEdits     = 6
	maxEditValue = 60 // characters; longer values are only said to have changed
	maxEditLine  = 400
)

// edits collects what differs between two versions of an object.
type edits []string

// value notes a field that changed: "session-cookie-max-age 3600→10800".
func (e *edits) value(field, old, now string) {
	if old == now {
		return
	}
	field = affinity.Clean(field, maxEditValue)
	if strings.Contains(field, "snippet") || len(old) > maxEditValue || len(now) > maxEditValue {
		*e = append(*e, field+" changed")
		return
	}
	*e = append(*e, fmt.Sprintf("%s %s→%s", field, orUnset(old), orUnset(now)))
}

func orUnset(s string) string {
	if s == "" {
		return "(unset)"
	}
	return affinity.Clean(s, maxEditValue)
}

// set notes members that came and went.
func (e *edits) set(old, now []string) {
	for _, s := range old {
		if !slices.Contains(now, s) {
			*e = append(*e, "−"+affinity.Clean(s, 2*maxEditValue))
		}
	}
	for _, s := range now {
		if !slices.Contains(old, s) {
			*e = append(*e, "+"+affinity.Clean(s, 2*maxEditValue))
		}
	}
}

// annotations notes those that changed, named without their prefix.
func (e *edits) annotations(old, now map[string]string) {
	keys := map[string]bool{}
	for _, m := range []map[string]string{old, now} {
		for k := range m {
			keys[k] = true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		was, had := old[k]
		is, has := now[k]
		if had != has && was == is { // an empty value that came or went
			*e = append(*e, short(k)+" "+map[bool]string{true: "set empty", false: "removed"}[has])
			continue
		}
		e.value(short(k), was, is)
	}
}

func short(annotation string) string {
	return annotation[strings.LastIndexByte(annotation, '/')+1:]
}

// String joins the first of them; "" when nothing differs.
func (e edits) String() string {
	if len(e) > maxEdits {
		e = append(slices.Clone(e[:maxEdits]), fmt.Sprintf("and %d more", len(e)-maxEdits))
	}
	return affinity.Clean(strings.Join(e, ", "), maxEditLine)
}

func diffIngress(old, now ingress.Ingress) string {
	var e edits
	e.annotations(old.Annotations, now.Annotations)
	e.value("class", old.ClassName, now.ClassName)
	e.set(places(old), places(now))
	e.set(tls(old), tls(now))
	e.value("address", strings.Join(old.Addresses, " "), strings.Join(now.Addresses, " "))
	return e.String()
}

// places are "host/path → service:port" of each rule.
func places(in ingress.Ingress) []string {
	var out []string
	for _, r := range in.Rules {
		for _, p := range r.Paths {
			out = append(out, fmt.Sprintf("%s%s (%s) → %s", r.Host, p.Path, p.Type, backend(p.Backend)))
		}
	}
	if in.DefaultBackend != nil {
		out = append(out, "default backend → "+backend(*in.DefaultBackend))
	}
	return out
}

func backend(b ingress.Backend) string {
	if b.Resource != "" {
		return b.Resource
	}
	return b.Service + ":" + b.Port()
}

func tls(in ingress.Ingress) []string {
	var out []string
	for _, t := range in.TLS {
		if len(t.Hosts) == 0 {
			out = append(out, "TLS for all hosts")
		}
		for _, h := range t.Hosts {
			out = append(out, "TLS for "+h)
		}
	}
	return out
}

func diffIngressRoute(old, now ingress.IngressRoute) string {
	var e edits
	e.annotations(old.Annotations, now.Annotations)
	e.value("class", old.ClassName, now.ClassName)
	if old.TLS != now.TLS {
		e.value("tls", strconv.FormatBool(old.TLS), strconv.FormatBool(now.TLS))
	}
	e.set(rules(old), rules(now))
	return e.String()
}

func rules(r ingress.IngressRoute) []string {
	var out []string
	for _, x := range r.Routes {
		for _, b := range x.Services {
			out = append(out, x.Match+" → "+traefikText(b))
		}
	}
	return out
}

func diffTraefikService(old, now ingress.TraefikService) string {
	var e edits
	e.value("kind", old.Kind, now.Kind)
	e.value("sticky", cookieText(old.Sticky), cookieText(now.Sticky))
	var was, is []string
	for _, b := range old.Services {
		was = append(was, traefikText(b))
	}
	for _, b := range now.Services {
		is = append(is, traefikText(b))
	}
	e.set(was, is)
	return e.String()
}

func traefikText(b ingress.TraefikBackend) string {
	text := b.Name + ":" + b.Port
	if b.Weight != nil {
		text += fmt.Sprintf(" weight %d", *b.Weight)
	}
	if b.Strategy != "" {
		text += " " + b.Strategy
	}
	if b.NativeLB != nil && *b.NativeLB {
		text += " nativeLB"
	}
	if c := cookieText(b.Sticky); c != "" {
		text += " sticky " + c
	}
	return text
}

func cookieText(c *ingress.TraefikCookie) string {
	if c == nil {
		return ""
	}
	text := "cookie"
	if c.Name != "" {
		text += " " + c.Name
	}
	if c.MaxAge != 0 {
		text += fmt.Sprintf(" %ds", c.MaxAge)
	}
	return text
}

func diffService(old, now ingress.Service) string {
	var e edits
	e.annotations(old.Annotations, now.Annotations)
	e.value("sessionAffinity", old.SessionAffinity, now.SessionAffinity)
	e.value("timeoutSeconds", number(old.AffinityTimeout), number(now.AffinityTimeout))
	e.value("type", old.Type, now.Type)
	e.value("clusterIP", old.ClusterIP, now.ClusterIP)
	e.value("publishNotReadyAddresses", strconv.FormatBool(old.PublishNotReadyAddresses), strconv.FormatBool(now.PublishNotReadyAddresses))
	e.set(ports(old), ports(now))
	return e.String()
}

func ports(s ingress.Service) []string {
	var out []string
	for _, p := range s.Ports {
		out = append(out, fmt.Sprintf("port %s %d→%s", p.Name, p.Port, p.TargetPort))
	}
	return out
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

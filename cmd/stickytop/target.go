package main

import (
	"net/url"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// kinds are the words that a target may begin with, the short names of their
// APIs among them, and two that people use for Traefik's, which have none.
var kinds = targetKinds(map[string]string{
	"ing": "ingress", "ingress": "ingress", "ingresses": "ingress", "ingresses.networking.k8s.io": "ingress", "ingress.networking.k8s.io": "ingress",
	"svc": "service", "service": "service", "services": "service",
	"ingressroute": "ingressroute", "ingressroutes": "ingressroute", "ingressroutes.traefik.io": "ingressroute", "ingressroute.traefik.io": "ingressroute",
	"ir": "ingressroute", "ts": "traefikservice", "traefikservice": "traefikservice", "traefikservices": "traefikservice",
	"traefikservices.traefik.io": "traefikservice", "traefikservice.traefik.io": "traefikservice",
	"gtw": "gateway", "gw": "gateway", "proxy": "httpproxy", "proxies": "httpproxy", "vs": "virtualserver", "vsr": "virtualserverroute",
})

// knownKinds is what a target may be, in words: one word for each kind.
var knownKinds = kindsInWords()

func kindsInWords() string {
	words := []string{"ing/NAME", "svc/NAME", "ingressroute/NAME", "traefikservice/NAME"}
	for _, k := range ingress.CustomKinds {
		if k.Route != "" || k.Via {
			words = append(words, strings.ToLower(k.Kind)+"/NAME")
		}
	}
	return strings.Join(words, ", ") + " or a URL"
}

// targetKinds adds the custom resources that are routes or lead to what they
// route to: httproute/NAME, httproutes.gateway.networking.k8s.io/NAME.
func targetKinds(words map[string]string) map[string]string {
	for _, k := range ingress.CustomKinds {
		if k.Route != "" || k.Via {
			kind := strings.ToLower(k.Kind)
			for _, word := range []string{kind, k.Resource(), kind + "." + k.Group(), k.Key} {
				words[word] = kind
			}
		}
	}
	return words
}

// parseTarget reads KIND/NAME of kinds, NAME of an Ingress, KIND NAME, or a URL.
func parseTarget(args []string) (affinity.Target, error) {
	switch len(args) {
	case 0:
		return affinity.Target{}, nil
	case 1:
		if isURL(args[0]) {
			return affinity.Target{Kind: "url", Name: args[0]}, nil
		}
		kind, name, ok := strings.Cut(args[0], "/")
		if !ok {
			return affinity.Target{Kind: "ingress", Name: args[0]}, nil
		}
		return newTarget(kind, name)
	case 2:
		return newTarget(args[0], args[1])
	}
	return affinity.Target{}, usageError("one target at a time: %s", knownKinds)
}

func newTarget(kind, name string) (affinity.Target, error) {
	known, ok := kinds[strings.ToLower(kind)]
	if !ok || name == "" || strings.Contains(name, "/") {
		return affinity.Target{}, usageError("target %q is not understood: use %s", affinity.Clean(kind+"/"+name, 120), knownKinds)
	}
	t := affinity.Target{Kind: known, Name: name}
	if known == "service" {
		t.Name, t.Port, _ = strings.Cut(name, ":")
	}
	if t.Name == "" {
		return affinity.Target{}, usageError("target %q names no Service", affinity.Clean(name, 120))
	}
	return t, nil
}

// isURL: schemes are the same in any case. [RFC 3986 section 3.1]
func isURL(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// urlRoute is the one route of a run without a cluster. No object says what
// its cookie is: every known format is a candidate, or the name is given.
func urlRoute(text, cookie string) (affinity.Route, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return affinity.Route{}, usageError("URL %q: want http[s]://HOST[:PORT][/PATH]", affinity.Clean(text, 200))
	}
	if u.User != nil {
		return affinity.Route{}, usageError("URL: no user names and passwords in it, please")
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return affinity.Route{
		ID: affinity.RouteKey(affinity.RouteURL, "", u.Scheme, u.Host, path), Kind: affinity.RouteURL, Name: u.Hostname(), Host: u.Hostname(), Path: path,
		URL: text, TLS: u.Scheme == "https", ProbePath: u.RequestURI(), ProbeWhy: "the URL",
		Layers: []affinity.Layer{{Where: affinity.LayerIngress, Object: "URL", Candidates: anyCookie(cookie), Guessed: true}},
	}, nil
}

// anyCookie is what is known without a cookie, then the policies that one may
// turn out to follow.
func anyCookie(name string) []affinity.Policy {
	all := []affinity.Policy{{Mechanism: affinity.MechanismUnknown, Why: "a URL alone: only a cookie can tell"}}
	if name != "" {
		all[0] = affinity.Policy{Mechanism: affinity.MechanismCookie, Cookie: affinity.CookieSpec{Name: name}, Why: "--cookie"}
	}
	// A backend's name is part of what ingress-nginx hashes; the shape of its
	// cookies is seen without it.
	for _, f := range ingress.Formats(ingress.Known{Cookie: name}) {
		all = append(all, affinity.Policy{Mechanism: affinity.MechanismCookie, Controller: f.Controller, Mode: f.Mode, Decoder: f.Decoder,
			Cookie: affinity.CookieSpec{Name: name}, Why: "the shape of a cookie"})
	}
	return all
}

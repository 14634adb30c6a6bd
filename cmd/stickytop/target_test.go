package main

import (
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestURLClaimsNoPolicy folds a URL's route: what holds is not known before a
// cookie comes, and then no more than the cookie says.
func TestURLClaimsNoPolicy(t *testing.T) {
	now := time.Date(2026, 11, 25, 14, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, flag, key, value string
		mechanism, cookie      string
		controller, hint       string
	}{
		{"nothing seen", "", "", "", "unknown", "", "", ""},
		{"a name the user gave", "route", "", "", "cookie", "route", "", ""},
		{"an application's cookie", "", "theme", "dark", "unknown", "", "", ""},
		{"a shape of several", "", "lb", "0123456789abcdef", "cookie", "lb", "", "fits traefik, haproxytech"},
		{"a shape of one", "", "route", "1700000000.123.45.678901|0123456789abcdef0123456789abcdef", "cookie", "route", "ingress-nginx", "has the shape of ingress-nginx"},
		{"a format that nobody knows", "route", "route", "?", "cookie", "route", "", "its format is not known"},
	} {
		r, err := urlRoute("http://127.0.0.1/", tt.flag)
		if err != nil {
			t.Fatal(err)
		}
		var st affinity.State
		st.Apply(affinity.Routes{Source: "url", Routes: []affinity.Route{r}}, now)
		st.Apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: "s01", Route: r.ID, Transport: "http"}}, now)
		o := affinity.Observed{Session: "s01", Status: 200}
		if tt.key != "" {
			o.Offers = []affinity.Offer{{Name: tt.key, Value: affinity.Secret(tt.value), Expires: now.Add(time.Hour)}}
		}
		st.Apply(o, now)
		got, _ := st.Snapshot(now).Route(r.ID)
		l := got.Layers[0]
		p := l.Policy()
		if p.Mechanism.String() != tt.mechanism || p.Cookie.Name != tt.cookie || p.Controller != tt.controller || !strings.Contains(l.Hint, tt.hint) || (tt.hint == "") != (l.Hint == "") {
			t.Errorf("%s: %s %q by %q, hint %q", tt.name, p.Mechanism, p.Cookie.Name, p.Controller, l.Hint)
		}
		if l.Settled() {
			t.Errorf("%s: settled without a proof", tt.name)
		}
		if l.Hint != "" && p.Cookie.MaxAge != time.Hour {
			t.Errorf("%s: Max-Age %s, want that of the cookie", tt.name, p.Cookie.MaxAge)
		}
	}
}

// TestTargetKinds: each kind of route that is read, and what leads from one to
// its Service, can be named as its API does, and the error names them all.
func TestTargetKinds(t *testing.T) {
	for words, kind := range map[string]string{
		"ing ingress Ingress ingresses.networking.k8s.io":                              "ingress",
		"svc service services":                                                         "service",
		"ir ingressroute IngressRoute ingressroutes.traefik.io":                        "ingressroute",
		"ts traefikservice TraefikServices traefikservices.traefik.io":                 "traefikservice",
		"httproute httproutes HTTPRoute httproutes.gateway.networking.k8s.io":          "httproute",
		"gtw gw gateway gateways gateway.gateway.networking.k8s.io":                    "gateway",
		"proxy proxies httpproxy httpproxies httpproxies.projectcontour.io":            "httpproxy",
		"vs virtualserver virtualservers.k8s.nginx.org":                                "virtualserver",
		"vsr virtualserverroute virtualserverroutes virtualserverroutes.k8s.nginx.org": "virtualserverroute",
		"route routes Route routes.route.openshift.io route.route.openshift.io":        "route",
	} {
		for word := range strings.FieldsSeq(words) {
			for _, args := range [][]string{{word + "/x"}, {word, "x"}} {
				if got, err := parseTarget(args); err != nil || got.Kind != kind || got.Name != "x" {
					t.Errorf("%q: %+v, %v, want a %s", args, got, err, kind)
				}
			}
		}
		if words := strings.Fields(words); kind != "ingress" && kind != "service" {
			_, err := parseTarget([]string{"pod/x"})
			if err == nil || !strings.Contains(err.Error(), " "+kind+"/NAME") {
				t.Errorf("%v does not name %s, which is %q", err, kind, words)
			}
		}
	}
}

package ingress

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestConflictsNamed: a note names some of those that claim a place and counts
// the others, and Ingresses of one name are named once.
func TestConflictsNamed(t *testing.T) {
	claim := func(name string) *Place {
		return &Place{Ingress: &Ingress{Namespace: "shop", Name: name}, Host: "shop.example.com", Path: "/", Type: "Prefix", class: classOf{name: "nginx"}}
	}
	var many, same []*Place
	for i := range 300 {
		many, same = append(many, claim(fmt.Sprintf("web-%03d", i))), append(same, claim("web"))
	}
	const apart = "; give each a host or path of its own"
	const older, younger = " is older and claims the same host and path: ingress-nginx sends requests there" + apart, " claims the same host and path; this one is older, and ingress-nginx sends requests here" + apart
	first8 := "ingress/web-000, ingress/web-001, ingress/web-002, ingress/web-003, ingress/web-004, ingress/web-005, ingress/web-006, ingress/web-007"
	for _, c := range []struct {
		name   string
		places []*Place
		at     int
		want   []string
	}{
		{"alone", many[:1], 0, nil},
		{"the oldest of two", many[:2], 0, []string{"ingress/web-001" + younger}},
		{"the last of many", many, 299, []string{first8 + " and 291 more" + older}},
		{"of one name, the first", same, 0, []string{"ingress/web" + younger}},
		{"of one name, between", same, 7, []string{"ingress/web" + older, "ingress/web" + younger}},
		{"of one name, the last", same, 299, []string{"ingress/web" + older}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := newServed(c.places).conflicts(c.places[c.at], []string{nginxKey})
			if !slices.Equal(got, c.want) {
				t.Errorf("%s\nwant %s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestConflictsClaimNoWinner: who is served is said of ingress-nginx alone, whose
// code fixes it.
func TestConflictsClaimNoWinner(t *testing.T) {
	var places []*Place
	for _, name := range []string{"loose", "echo-dup"} {
		places = append(places, &Place{Ingress: &Ingress{Namespace: "shop", Name: name}, Host: "loose.local", Path: "/", Type: "Prefix", class: classOf{name: "nginx"}})
	}
	for _, c := range []struct {
		name string
		keys []string
		at   int
		want string
	}{
		{"Traefik, the younger", []string{traefikNginxKey}, 1, "ingress/loose claims the same host and path: which of them Traefik serves is not fixed, and can change when it restarts"},
		{"Traefik, the older", []string{traefikNginxKey}, 0, "ingress/echo-dup claims the same host and path: which of them Traefik serves is not fixed, and can change when it restarts"},
		{"either", []string{nginxKey, traefikNginxKey}, 1, "ingress/loose claims the same host and path: ingress-nginx sends requests to the oldest, ingress/loose; which Traefik serves is not fixed, and can change when it restarts"},
		{"the older of either", []string{nginxKey, traefikNginxKey}, 0, "ingress/echo-dup claims the same host and path: ingress-nginx sends requests to the oldest, this one; which Traefik serves is not fixed, and can change when it restarts"},
		{"another", []string{haproxytechKey}, 1, "ingress/loose claims the same host and path: which of them is served is up to the controller"},
		{"unknown", nil, 1, "ingress/loose claims the same host and path: which of them is served is up to the controller"},
	} {
		got := newServed(places).conflicts(places[c.at], c.keys)
		if want := c.want + "; give each a host or path of its own"; !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q\nwant %q", c.name, got, want)
		}
	}
}
